"""Semantic transfer beside CEZSAR, in several spaces: what labelled clips of seen classes are worth.

f_v may be mean features, the VE of a run, or the cross-modal model (`cezsar.training.cross_modal`). K, T and λ of each
(`cezsar.training.semantic_transfer`), and the weight of a blend with CEZSAR, are chosen on held-out seen classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.data.labels import spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import InputError
from cezsar.training import semantic_transfer as semantic
from cezsar.training.cross_modal import Clips, configs, sides_in, sides_of, train_model
from cezsar.training.loop import Rows
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Overlap, Sides, Transfer, best_of, top1
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import JointSpace, space_of

MEAN, JOINT, CROSS = "mean features", "VE", "cross-modal head"  # what f_v may be


@dataclass(frozen=True, eq=False)
class TransferScores:
    """What was found."""

    scores: dict[str, Scores]  # method -> scores of the unseen clips; CEZSAR's VE first
    settings: dict[str, dict[Transfer, list[float]]]  # f_v -> K, T, λ -> top-1 in each trial on held-out seen classes
    blend: dict[float, list[float]]  # weight of CEZSAR's VE in the blend with the cross-modal model's transfer -> same
    dropped: list[Overlap]  # seen classes that say the same as an unseen one, and did not serve
    unseen: Embeddings  # the run's VE of the unseen clips, and SE of their classes' sentences

    def to_dict(self) -> dict[str, Any]:
        """What was chosen and everything that was tried, as JSON has it."""
        tables = {
            name: [setting._asdict() | {"top1": reached} for setting, reached in tried.items()]
            for name, tried in self.settings.items()
        }
        return {
            "best": {name: best_of(tried)._asdict() for name, tried in self.settings.items()},
            "blend": best_of(self.blend) if self.blend else None,
            "settings": tables,
            "weights": [{"weight": weight, "top1": reached} for weight, reached in self.blend.items()],
            "dropped": [overlap._asdict() for overlap in self.dropped],
        }


def transferred(run: Run, sentences: Encoder, seen: Clips, unseen: Clips, *, seed: int = 0, with_head: bool = False,
                trials: int = 3, grid: Sequence[Transfer] | None = None, model: Mapping[str, Any] | None = None,
                training: Mapping[str, Any] | None = None, device: str | None = None,
                on_progress: Callable[[int, int, str], object] = lambda done, total, step: None,
                ) -> TransferScores:  # fmt: skip
    """Choose K, T and λ on halves of the seen classes, and score the unseen clips by every method. The run's VE stays
    as it is: it never had these labels. Raises `InputError` for a cross-modal run."""
    joint = space_of(run, sentences, device)
    if not isinstance(joint, JointSpace):
        raise InputError(f"{run.name} is a cross-modal run and has its transfer built in; give a run of CEZSAR")
    spoken_names = [
        dict(zip(clips.names, sentences.encode([spoken(name) for name in clips.names]), strict=True))
        for clips in (seen, unseen)
    ]
    dropped = semantic.overlaps(*spoken_names)
    out = {overlap.seen for overlap in dropped}
    seen = seen.of([c for c, name in enumerate(seen.names) if name not in out])
    config, how = configs(seen.features.store, sentences, model, training)
    generator = torch.Generator().manual_seed(seed)

    def spaces(known: Clips, other: Clips) -> dict[str, Sides]:
        means_ND = _means(known.features)
        mean_D, spread_D = means_ND.mean(axis=0), means_ND.std(axis=0)
        spread_D = np.where(spread_D > 1e-4, spread_D, 1)
        nothing_UD = np.zeros((len(other.names), len(spread_D)), np.float32)
        texts_UE = joint.sentences(list(other.sentences.values()))
        found = {
            MEAN: sides_of(known, other, sentences, lambda rows: (_means(rows) - mean_D) / spread_D, nothing_UD),
            JOINT: sides_of(known, other, sentences, joint.clips, texts_UE),
        }
        if with_head:
            texts = known.tokens(sentences)
            head = train_model(known.features, known.class_index, texts, config, how, generator, device=device)
            found[CROSS] = sides_in(head, known, other, sentences)
        return found

    made: list[tuple[dict[str, Sides], IntArray]] = []
    halves = semantic.split_classes(len(seen.names), np.random.default_rng(seed), trials)
    for trial, (kept, held) in enumerate(halves):
        on_progress(trial, trials + 1, "choosing on seen classes")
        known, other = seen.of(kept), seen.of(held)
        made.append((spaces(known, other), other.class_index))
    on_progress(trials, trials + 1, "scoring unseen classes")
    grid = grid or semantic.GRID
    alone = list(dict.fromkeys(setting._replace(lam=1.0) for setting in grid))  # mean features have no text side
    settings = {
        name: semantic.try_all([(trial[name], class_N) for trial, class_N in made], alone if name == MEAN else grid)
        for name in made[0][0]
    }
    final = spaces(seen, unseen)
    matrices = {"CEZSAR": final[JOINT].by_text} | ({CROSS: final[CROSS].by_text} if with_head else {})
    matrices |= {f"transfer, {name}": final[name].matrix(best_of(tried)) for name, tried in settings.items()}
    blend: dict[float, list[float]] = {}
    if with_head:
        best = best_of(settings[CROSS])
        pairs = [(trial[JOINT].by_text, trial[CROSS].matrix(best), class_N) for trial, class_N in made]
        blend = {weight: [top1(weight * a + (1 - weight) * b, n) for a, b, n in pairs] for weight in semantic.WEIGHTS}
        weight = best_of(blend)
        matrices["blend"] = weight * matrices["CEZSAR"] + (1 - weight) * matrices[f"transfer, {CROSS}"]
    on_progress(trials + 1, trials + 1, "")
    scores = {name: _scores(unseen, matrix_NU) for name, matrix_NU in matrices.items()}
    visual, texts_UE = final[JOINT].clips_NE.astype(np.float32), final[JOINT].texts_UE.astype(np.float32)
    embeddings = Embeddings(unseen.ids, unseen.labels, unseen.names, {"VE": visual}, texts_UE, np.arange(len(texts_UE)))
    return TransferScores(scores, settings, blend, dropped, embeddings)


def _means(features: Rows) -> FloatArray:
    return np.stack([clip_TD.mean(axis=0) for clip_TD in features])


def _scores(clips: Clips, matrix_NU: DoubleArray) -> Scores:
    lengths_N11 = np.asarray(matrix_NU.any(axis=1), np.float64)[:, None, None]  # cosines: of clips of length 1, or 0
    return Scores(clips.ids, clips.labels, clips.names, {"VE": matrix_NU.astype(np.float32)}, lengths_N11)
