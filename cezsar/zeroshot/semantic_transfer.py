"""Semantic transfer on labelled clips of seen classes, beside CEZSAR: spaces, the choice of settings, and the scores.

After Lin et al. (CVPR 2022), no reproduction: `transfer` has the formulas, `held_out` the choice on seen classes,
`cezsar.training.cross_modal` the Transformer over frames and label tokens. Here they meet: what f_v may be (mean
features, a run's VE, the cross-modal head), which settings do best on held-out seen classes, and what they give on
unseen ones, blended with CEZSAR, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import resolve, spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import InputError
from cezsar.training.cross_modal import CrossModal, HeadConfig, label_tokens
from cezsar.training.cross_modal_loop import train_head
from cezsar.training.runs import Run
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.held_out import Choice, Grid, Overlap, choose, choose_blend, overlaps, split_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import JointSpace
from cezsar.zeroshot.transfer import Setting, Transfer, blend, by_text, relatedness

FloatArray = npt.NDArray[np.float32]

MEAN, JOINT, CROSS = "mean features", "VE", "cross-modal head"  # what f_v may be


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips and the classes they are of: seen ones or unseen ones."""

    ids: list[str]
    labels: list[str]
    features: list[FloatArray]
    sentences: dict[str, str]  # class name -> its description

    @property
    def names(self) -> list[str]:
        return list(self.sentences)

    def of(self, classes: Sequence[str]) -> Clips:
        """Clips of some classes alone."""
        kept = [row for row, label in enumerate(self.labels) if label in set(classes)]
        return Clips(
            [self.ids[row] for row in kept],
            [self.labels[row] for row in kept],
            [self.features[row] for row in kept],
            {name: self.sentences[name] for name in classes},
        )

    def embeddings(self, visual_NE: FloatArray, texts_CE: FloatArray) -> Embeddings:
        """f_v and f_t as the first waypoint."""
        return Embeddings(self.ids, self.labels, self.names, {"VE": visual_NE}, texts_CE, np.arange(len(texts_CE)))


def clips_of(dataset: Dataset, store: FeatureStore, descriptions: Mapping[str, Sequence[str]]) -> Clips:
    """The labelled clips of a data set that a store holds; of several sentences a class the first describes it.

    Raises:
        InputError: no clip is there, or a class has no description.
    """
    ids = [clip for clip in dataset.labels if clip in store]
    if not ids:
        raise InputError(f"none of the {len(dataset.labels):,} clips of {dataset.name} is in {store.folder}")
    classes = sorted({dataset.labels[clip] for clip in ids})
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    labels = [spelt[dataset.labels[clip]] for clip in ids]
    return Clips(
        ids, labels, [store.features(clip) for clip in ids], {spelt[c]: descriptions[spelt[c]][0] for c in classes}
    )


@dataclass(frozen=True)
class Chosen:
    """What was chosen on held-out seen actions, and how well it did there (top-1, mean over trials)."""

    settings: dict[str, Choice[Setting]]  # f_v -> K, T, λ
    weight: Choice[float] | None  # of CEZSAR's VE, in the blend with the cross-modal head's transfer; None without head

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: everything that was tried."""
        tables = {
            name: [tried.setting._asdict() | {"top1": tried.top1} for tried in choice.table]
            for name, choice in self.settings.items()
        }
        best = {name: choice.best.setting._asdict() for name, choice in self.settings.items()}
        tried_weights = self.weight.table if self.weight else []
        weights = [{"weight": tried.setting, "top1": tried.top1} for tried in tried_weights]
        blended = self.weight.best.setting if self.weight else None
        return {"best": best, "blend": blended, "settings": tables, "weights": weights}


@dataclass(frozen=True, eq=False)
class Transferred:
    """What `transferred` found.

    Attributes:
        scores: method -> scores of the unseen clips; CEZSAR's VE first.
        chosen: K, T, λ and the weight of the blend.
        dropped: seen classes that say the same as an unseen one, and did not serve.
        head: trained on all seen clips; None without.
        unseen: VE of the unseen clips and SE of their classes' sentences.
    """

    scores: dict[str, Scores]
    chosen: Chosen
    dropped: list[Overlap]
    head: CrossModal | None
    unseen: Embeddings


@dataclass(frozen=True, eq=False)
class Models:
    """What embeds clips and classes. Heads are trained one after the other from one generator."""

    sentences: Encoder
    config: HeadConfig
    generator: torch.Generator
    device: str | None = None

    def names(self, clips: Clips) -> dict[str, FloatArray]:
        """Class name -> the sentence vector of the name alone."""
        vectors = self.sentences.encode([spoken(name) for name in clips.names])
        return dict(zip(clips.names, vectors, strict=True))

    def tokens(self, clips: Clips) -> list[FloatArray]:
        return label_tokens(self.sentences, clips.names, list(clips.sentences.values()))

    def head(self, seen: Clips) -> CrossModal:
        """A cross-modal head, trained on labelled clips."""
        class_N = np.array([seen.names.index(label) for label in seen.labels])
        return train_head(seen.features, class_N, self.tokens(seen), self.config, self.generator, device=self.device)

    def spaces(self, run: Run, head: CrossModal | None, seen: Clips, other: Clips) -> dict[str, Transfer]:
        """Transfer from seen clips to others in each space; r_us is of sentence vectors in all of them."""
        joint = JointSpace.of_run(run, self.sentences, self.device)
        sides = seen, other
        texts = [list(side.sentences.values()) for side in sides]
        related_US = relatedness(self.sentences.encode(texts[1]), self.sentences.encode(texts[0]))
        means = [np.stack([clip_TD.mean(axis=0) for clip_TD in side.features]) for side in sides]
        centre_D, spread_D = means[0].mean(axis=0), means[0].std(axis=0)
        spread_D = np.where(spread_D > 1e-4, spread_D, 1)
        visual = {
            MEAN: [(mean_ND - centre_D) / spread_D for mean_ND in means],
            JOINT: [joint.clips(side.features) for side in sides],
        }
        spoken_of = {
            MEAN: [np.zeros((len(side.names), means[0].shape[1]), np.float32) for side in sides],  # no text side
            JOINT: [joint.sentences(text) for text in texts],
        }
        if head is not None:
            visual[CROSS] = [head.videos(side.features) for side in sides]
            spoken_of[CROSS] = [head.labels(self.tokens(side)) for side in sides]
        return {
            name: Transfer(
                seen.embeddings(visual[name][0], spoken_of[name][0]),
                other.embeddings(visual[name][1], spoken_of[name][1]),
                related_US,
            )
            for name in visual
        }


def choose_all(trials: Sequence[Mapping[str, Transfer]], grid: Grid | None = None) -> Chosen:
    """K, T and λ for each f_v, and then the weight of the blend, on trials of held-out seen actions."""
    grid = grid or Grid()
    alone = replace(grid, lam=(1.0,))  # mean features have no text side
    settings = {name: choose([trial[name] for trial in trials], alone if name == MEAN else grid) for name in trials[0]}
    if CROSS not in settings:
        return Chosen(settings, None)
    best = settings[CROSS].best.setting
    pairs = [(by_text(trial[JOINT].unseen), trial[CROSS].scores(best)) for trial in trials]
    return Chosen(settings, choose_blend(pairs))


def scores_of_methods(final: Mapping[str, Transfer], chosen: Chosen) -> dict[str, Scores]:
    """Scores of the unseen clips by every method, in the order of the table."""
    scores = {"CEZSAR": by_text(final[JOINT].unseen)}
    if CROSS in final:
        scores["cross-modal head"] = by_text(final[CROSS].unseen)
    for name, choice in chosen.settings.items():
        scores[f"transfer, {name}"] = final[name].scores(choice.best.setting)
    if chosen.weight:
        scores["blend"] = blend(scores["CEZSAR"], scores[f"transfer, {CROSS}"], chosen.weight.best.setting)
    return scores


def transferred(
    run: Run,
    models: Models,
    seen: Clips,
    unseen: Clips,
    rng: np.random.Generator,
    *,
    with_head: bool = False,
    trials: int = 3,
    grid: Grid | None = None,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Transferred:
    """Choose K, T and λ on halves of the seen classes, and score the unseen clips by every method.

    The run's VE stays as it is in all trials: it never had these labels, though its captions may have told of the
    actions. A cross-modal head is trained anew in each trial without the half that is held out, then on all.

    Args:
        rng: draws the halves.
        with_head: train cross-modal heads, too; that takes minutes.
        on_progress: called with (steps done, all of them, the next one in words).

    Raises:
        InputError: fewer than four seen classes are left once those that an unseen one equals are dropped.
    """
    said = on_progress or (lambda *_: None)
    dropped = overlaps(models.names(seen), models.names(unseen))
    seen = seen.of([name for name in seen.names if name not in {overlap.seen for overlap in dropped}])
    made, steps = [], trials + 1
    for trial, (kept, held) in enumerate(split_classes(len(seen.names), rng, trials)):
        said(trial, steps, "choosing on seen classes")
        known, other = (seen.of([seen.names[c] for c in part]) for part in (kept, held))
        made.append(models.spaces(run, models.head(known) if with_head else None, known, other))
    said(trials, steps, "scoring unseen classes")
    chosen = choose_all(made, grid)
    head = models.head(seen) if with_head else None
    final = models.spaces(run, head, seen, unseen)
    scores = scores_of_methods(final, chosen)
    said(steps, steps, "")
    return Transferred(scores, chosen, dropped, head, final[JOINT].unseen)
