"""Training of the cross-modal Transformer on labelled clips of seen classes, after Lin et al. (CVPR 2022).

The model is `cezsar.model.CrossModal`. Its losses:

- discriminative: softmax over the seen classes of scaled cosines between f_v and a learned vector a class;
- alignment: f_v against f_t, contrastive within a batch, both ways; and label tokens that read the video's tell whether
  label and video match, the other label being the one most easily taken for it.

From the paper's abstract are a Transformer that encodes video and label text jointly, visual embeddings that are
discriminative and semantically consistent, and semantic transfer at inference (`training.semantic_transfer`). The
losses as they stand here, the label tokens, the widths and the early stopping are ours, and frame features are frozen
where the paper learns end to end: this is after that paper, and no reproduction of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cezsar.arrays import FloatArray, IntArray, unit_rows
from cezsar.atomic import write_json
from cezsar.config import ModelConfig, TrainingConfig, from_dict
from cezsar.data.datasets import Dataset
from cezsar.data.descriptions import save_descriptions
from cezsar.data.features import FeatureStore
from cezsar.data.labels import resolve, spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders import scene_columns
from cezsar.encoders.compute import pick_device
from cezsar.errors import InputError
from cezsar.model import MAX_TOKENS, CrossModal, clip_embeddings, stack
from cezsar.training.loop import DivergedError
from cezsar.training.runs import OodDistance, Run, RunConfig
from cezsar.training.semantic_transfer import Grid, Seen, Sides, choose, relatedness, split_classes, visual_prototypes

MODEL = {"d_model": 256, "heads": 4, "ffn": 512, "recipe": "cross-modal"}
TRAINING = {
    "epochs": 30, "patience": 6, "batch": 64, "lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 1e-2,
    "validation": 0.15, "standardise": True,
}  # fmt: skip
"""Where the defaults depart from CEZSAR's; `validation` is a share of the CLASSES, `standardise` always on."""

SCALE = 8.0  # of cosines before a softmax
MATCHING = 0.5  # weight of the part of the alignment loss in which labels read videos
TRIALS = 3  # halves of the seen classes that K, T and λ are chosen on
OOD_CLIPS = 20_000  # at most that the out-of-distribution distance is fitted on

Progress = Callable[[dict[str, Any]], object]
"""Takes each line of history as it is written."""


class Rows(Sequence[FloatArray]):
    """(T, D) features of clips, read from a store when asked for."""

    def __init__(self, store: FeatureStore, places: Sequence[tuple[str, int, int | None]]) -> None:
        self.store, self.places = store, list(places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: Any) -> Any:
        video, first, stop = self.places[row]
        return self.store.features(video) if stop is None else self.store.rows(video, first, stop)


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips, and class name -> description of the classes they are of, seen ones or unseen ones."""

    ids: list[str]
    labels: list[str]
    features: Rows
    sentences: dict[str, str]

    @property
    def names(self) -> list[str]:
        return list(self.sentences)

    @property
    def class_index(self) -> IntArray:
        index = {name: position for position, name in enumerate(self.sentences)}
        return np.array([index[label] for label in self.labels], np.int64)

    def of(self, classes: Sequence[str]) -> Clips:
        """Clips of some classes alone."""
        kept = [row for row, label in enumerate(self.labels) if label in set(classes)]
        ids, labels = ([part[row] for row in kept] for part in (self.ids, self.labels))
        rows = Rows(self.features.store, [self.features.places[row] for row in kept])
        return Clips(ids, labels, rows, {name: self.sentences[name] for name in classes})

    def vectors(self, encoder: Encoder) -> FloatArray:
        """(C, S) sentence vectors of the descriptions."""
        return encoder.encode(list(self.sentences.values()))

    def tokens(self, encoder: Encoder) -> list[FloatArray]:
        """`label_tokens` of the classes."""
        return label_tokens(encoder, self.names, list(self.sentences.values()))


def clips_of(dataset: Dataset, store: FeatureStore, descriptions: Mapping[str, Sequence[str]]) -> Clips:
    """The labelled clips of a data set that a store holds; of several sentences a class the first describes it."""
    whole = {clip: (clip, 0, None) for clip in dataset.labels}
    places = {clip: place for clip, place in (whole | dataset.segments).items() if place[0] in store}
    if not places:
        raise InputError(f"none of the {len(dataset.labels):,} clips of {dataset.name} is in {store.folder}")
    classes = sorted({dataset.labels[clip] for clip in places})
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    labels = [spelt[dataset.labels[clip]] for clip in places]
    described = {spelt[name]: descriptions[spelt[name]][0] for name in classes}
    return Clips(list(places), labels, Rows(store, list(places.values())), described)


def label_tokens(encoder: Encoder, names: Sequence[str], sentences: Sequence[str]) -> list[FloatArray]:
    """(L, S) tokens of each label: the vector of its sentence, then of each word of its name, as if a sentence."""
    words = [spoken(name).split() for name in names]
    first, each = encoder.encode(list(sentences)), encoder.encode([word for found in words for word in found])
    parts = np.split(each, np.cumsum([len(found) for found in words])[:-1]) if len(names) else []
    return [np.vstack([row[None], part]).astype(np.float32) for row, part in zip(first, parts, strict=True)]


@torch.inference_mode()
def label_embeddings(model: CrossModal, tokens: Sequence[FloatArray]) -> FloatArray:
    """(C, E) f_t of (L_c, S) label tokens."""
    embedded: FloatArray = model.label_embedding(*_stacked(model, tokens, MAX_TOKENS)).float().cpu().numpy()
    return embedded


def _stacked(model: CrossModal, rows: Sequence[FloatArray], longest: int) -> tuple[Tensor, Tensor]:
    """Arrays of different length as one padded batch on the model's device, and their lengths."""
    batch, lengths = stack([torch.from_numpy(np.asarray(row, np.float32)) for row in rows], longest)
    return batch.to(model.feature_mean.device), lengths.to(model.feature_mean.device)


# The model -----------------------------------------------------------------------------------------------------------


def train_model(
    features: Sequence[FloatArray],
    class_N: IntArray,
    tokens: Sequence[FloatArray],
    config: ModelConfig,
    training: TrainingConfig,
    generator: torch.Generator,
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> CrossModal:
    """Train a model on labelled clips of seen classes.

    A share of the classes is held out: after each epoch its clips are named among its labels, by cos(f_v, f_t), and the
    epoch that does so best is kept.

    Args:
        features: (T_i, D) of N clips; `class_N` has the seen class of each.
        tokens: (L_c, S) of each class, as `label_tokens` makes them.
        generator: of the held-out classes, the first weights, the order of clips, and dropout.
    """
    present = np.unique(class_N)
    if len(present) < 4:
        raise InputError(f"there are labelled clips of {len(present)} classes; training needs four at least")
    order = present[torch.randperm(len(present), generator=generator).numpy()]
    count = min(max(2, round(training.validation * len(present))), len(present) - 2)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        trainer = _Trainer(config, training, features, class_N, tokens, kept, pick_device(device))
        best, best_state, bad = -1.0, trainer.model.state_dict(), 0
        for epoch in range(training.epochs):
            line = {"kind": "epoch", "epoch": epoch + 1, "train_loss": trainer.epoch()}
            figures = trainer.held_out(held)
            bad += 1
            if figures["held_out_top1"] > best:
                best, bad = figures["held_out_top1"], 0
                best_state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
            if on_progress:
                on_progress(line | figures | {"best": not bad})
            if bad >= training.patience:
                break
        trainer.model.load_state_dict(best_state)
    return trainer.model.eval()


class _Trainer:
    """A model with the parts that only training needs, and the clips and labels it is trained on."""

    def __init__(
        self,
        config: ModelConfig,
        training: TrainingConfig,
        features: Sequence[FloatArray],
        class_N: IntArray,
        tokens: Sequence[FloatArray],
        kept: IntArray,
        device: str,
    ) -> None:
        self.training, self.features, self.class_N, self.tokens, self.kept = training, features, class_N, tokens, kept
        self.model = CrossModal(config)
        self.classes = nn.Parameter(torch.randn(len(kept), config.d_emb).to(device))
        self.match = nn.Linear(config.d_model, 1).to(device)
        self._standardise()
        self.model.to(device)
        parameters = [*self.model.parameters(), self.classes, *self.match.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, training.lr, training.betas, weight_decay=training.weight_decay)

    def _standardise(self) -> None:
        """Mean and deviation of the training clips' frame features, into the model."""
        total, square, count = 0.0, 0.0, 0
        for row in self.rows_of(self.kept):
            clip_TD = np.asarray(self.features[row], np.float64)
            total, square, count = total + clip_TD.sum(0), square + (clip_TD**2).sum(0), count + len(clip_TD)
        mean_D = np.asarray(total) / count
        std_D = np.sqrt(np.maximum(np.asarray(square) / count - mean_D**2, 0))
        self.model.feature_mean.copy_(torch.from_numpy(mean_D))
        self.model.feature_std.copy_(torch.from_numpy(np.where(std_D > 1e-4, std_D, 1.0)))

    def rows_of(self, classes: IntArray) -> list[int]:
        """The clips of some classes."""
        found: list[int] = np.flatnonzero(np.isin(self.class_N, classes)).tolist()
        return found

    def epoch(self) -> float:
        """One pass over the clips; returns the mean loss."""
        self.model.train()
        clips = np.array(self.rows_of(self.kept))
        clips = clips[torch.randperm(len(clips)).numpy()]
        values = []
        for part in np.array_split(clips, -(-len(clips) // self.training.batch)):
            loss = self.loss(part)
            values.append(float(loss.detach()))
            if not np.isfinite(values[-1]):
                raise DivergedError(f"the loss of the cross-modal model is {values[-1]}; lower --lr")
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        return float(np.mean(values))

    @torch.inference_mode()
    def held_out(self, held: IntArray) -> dict[str, float]:
        """How clips of held-out classes are named among these by cos(f_v, f_t); and two signs of collapse."""
        self.model.eval()
        clips = self.rows_of(held)
        videos_NE = clip_embeddings(self.model, [self.features[n] for n in clips])
        labels_CE = unit_rows(label_embeddings(self.model, [self.tokens[c] for c in held.tolist()]))
        unit_NE, true_N = unit_rows(videos_NE), np.searchsorted(held, self.class_N[clips])
        cosine_NC = unit_NE @ labels_CE.T
        loss = F.cross_entropy(SCALE * torch.from_numpy(cosine_NC), torch.from_numpy(true_N))
        return {
            "validation_loss": float(loss),
            "held_out_top1": float((cosine_NC.argmax(axis=1) == true_N).mean()),
            "dead_units": float((videos_NE == 0).all(axis=0).mean()),
            "spread": 1 - float(np.linalg.norm(unit_NE.mean(axis=0))),
        }

    def loss(self, clips: IntArray) -> Tensor:
        """Discriminative, contrastive and matching loss of a batch, weighted and summed."""
        model = self.model
        present, own = np.unique(self.class_N[clips], return_inverse=True)
        videos = _stacked(model, [self.features[n] for n in clips.tolist()], model.config.max_seconds)
        tokens_KLS, words_K = _stacked(model, [self.tokens[c] for c in present.tolist()], MAX_TOKENS)
        own_B = torch.from_numpy(own).to(words_K.device)
        visual_BE, right_BM = model.pairs(*videos, tokens_KLS[own_B], words_K[own_B])
        visual_BE = F.normalize(visual_BE, dim=1)
        labels_KE = F.normalize(model.label_embedding(tokens_KLS, words_K), dim=1)
        class_B = torch.from_numpy(np.searchsorted(self.kept, present)[own]).to(own_B.device)
        by_class_BC = SCALE * visual_BE @ F.normalize(self.classes, dim=1).T
        by_label_BK = SCALE * visual_BE @ labels_KE.T
        is_own_BK = F.one_hot(own_B, len(present)).bool()
        # Label to video: each label has several videos in the batch, which share its probability.
        towards_BK = F.log_softmax(by_label_BK, dim=0)
        to_video = -((towards_BK * is_own_BK).sum(0) / is_own_BK.sum(0)).mean()
        loss = F.cross_entropy(by_class_BC, class_B) + (F.cross_entropy(by_label_BK, own_B) + to_video) / 2
        if len(present) > 1:
            other_B = by_label_BK.detach().masked_fill(is_own_BK, -torch.inf).argmax(dim=1)
            _, wrong_BM = model.pairs(*videos, tokens_KLS[other_B], words_K[other_B])
            logits = self.match(torch.cat([right_BM, wrong_BM]))[:, 0]
            truth = torch.cat([torch.ones(len(clips)), torch.zeros(len(clips))]).to(logits.device)
            loss = loss + MATCHING * F.binary_cross_entropy_with_logits(logits, truth)
        return loss


# The run -------------------------------------------------------------------------------------------------------------


def train(
    seen: Clips,
    sentences: Encoder,
    folder: str | Path,
    *,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    trials: int = TRIALS,
    grid: Grid | None = None,
    domain: str = "unnamed videos",
    descriptions: Mapping[str, Sequence[str]] | None = None,
    resume: bool = False,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Train a model on labelled clips, choose K, T and λ of semantic transfer, and return its run.

    K, T and λ are chosen on halves of the seen classes, with a model for each that never saw the half it names.
    Arguments and errors are those of `loop.train`, save that an interrupted run begins anew.

    Args:
        model, training: fields that differ from `MODEL` and `TRAINING`.
        on_progress: called with each line of history; those of the trials have their number as "trial".
    """
    if len(seen.names) < 8:
        raise InputError(f"there are labelled clips of {len(seen.names)} classes; the cross-modal method needs eight")
    store, started = seen.features.store, time.perf_counter()
    content = json.dumps([store.fingerprint, seen.ids, seen.labels, seen.sentences], sort_keys=True)
    widths = {"feature_dim": store.dim, "sentence_dim": sentences.dim}
    config = RunConfig(
        from_dict(ModelConfig, MODEL | widths | dict(model or {}) | {"recipe": MODEL["recipe"]}),
        from_dict(TrainingConfig, TRAINING | dict(training or {})),
        {"name": store.provenance["encoder"], "fingerprint": store.provenance["fingerprint"]},
        {"name": sentences.name, "fingerprint": sentences.fingerprint},
        hashlib.sha256(content.encode()).hexdigest(),
        domain,
        fusion={"alpha": 1.0, "beta": 0.0, "gamma": 0.0},
    )
    run = Run.create(folder, config, resume=resume)
    if run.trained:
        return run
    seed = config.training.seed
    generator = torch.Generator().manual_seed(seed)
    lines: list[dict[str, Any]] = []

    def trained(clips: Clips, trial: int) -> CrossModal:
        def note(line: dict[str, Any]) -> None:
            if not trial:
                with (run.folder / "history.jsonl").open("a" if lines else "w", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                lines.append(line)
            if on_progress:
                on_progress(line | ({"trial": trial} if trial else {}))

        return train_model(
            clips.features, clips.class_index, clips.tokens(sentences), config.model, config.training, generator,
            device=device, on_progress=note,
        )  # fmt: skip

    made = []
    for trial, (kept, held) in enumerate(split_classes(len(seen.names), np.random.default_rng(seed), trials), start=1):
        known, other = (seen.of([seen.names[c] for c in part]) for part in (kept, held))
        made.append((sides_in(trained(known, trial), known, other, sentences), other.class_index))
    choice = choose(made, grid)
    final = trained(seen, 0)
    Seen(
        seen.names,
        seen.vectors(sentences),
        visual_prototypes(clip_embeddings(final, seen.features), seen.class_index, len(seen.names)).astype(np.float32),
        choice.best.setting,
    ).save(run.folder / "seen.safetensors")
    _familiar(seen, config).save(run.folder / "domain.safetensors")
    if descriptions is not None:
        save_descriptions(run.folder / "prototypes.json", descriptions)
    best = max(lines, key=lambda line: line["held_out_top1"])
    record = {
        "seconds": round(time.perf_counter() - started, 1), "epochs": len(lines), "best_epoch": best["epoch"],
        "validation_loss": best["validation_loss"], "held_out_top1": best["held_out_top1"],
        "transfer": choice.best.setting._asdict() | {"top1": choice.best.mean, "trials": trials},
        "device": str(final.feature_mean.device), "torch": torch.__version__, "python": platform.python_version(),
        "train_clips": len(seen.ids), "train_classes": len(seen.names), "triplets": {"store": store.fingerprint},
    }  # fmt: skip
    write_json(run.folder / "record.json", record)
    run.save_model(final)  # last: with it the run is whole
    return run


def sides_of(
    known: Clips, other: Clips, sentences: Encoder, clips: Callable[[Rows], FloatArray], texts_UE: FloatArray
) -> Sides:
    """Transfer from seen clips to others, by what embeds clips and by f_t; r_us is of sentence vectors."""
    return Sides(
        visual_prototypes(clips(known.features), known.class_index, len(known.names)),
        relatedness(other.vectors(sentences), known.vectors(sentences)),
        unit_rows(clips(other.features).astype(np.float64)),
        unit_rows(texts_UE.astype(np.float64)),
    )


def sides_in(model: CrossModal, known: Clips, other: Clips, sentences: Encoder) -> Sides:
    """`sides_of` in the space of a model."""
    texts_UE = label_embeddings(model, other.tokens(sentences))
    return sides_of(known, other, sentences, partial(clip_embeddings, model), texts_UE)


def _familiar(seen: Clips, config: RunConfig) -> OodDistance:
    rows = np.arange(len(seen.ids))
    if len(rows) > OOD_CLIPS:
        rows = np.sort(np.random.default_rng([config.training.seed, 4]).choice(rows, OOD_CLIPS, replace=False))
    means = np.stack([np.asarray(seen.features[row], np.float32).mean(0) for row in rows.tolist()])
    columns = scene_columns(config.feature_encoder["name"])
    return OodDistance.fit(means, np.random.default_rng([config.training.seed, 3]), columns)
