"""Training of the cross-modal Transformer (`cezsar.model.CrossModal`) on labelled clips of seen classes: after Lin et
al. (CVPR 2022), and no reproduction. Of its abstract are the joint Transformer, discriminative and semantically
consistent embeddings, and semantic transfer; losses, label tokens, widths and early stopping are ours."""

from __future__ import annotations

import hashlib
import json
import sys
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
from cezsar.atomic import alone
from cezsar.config import ModelConfig, TrainingConfig, from_dict
from cezsar.data.datasets import Dataset
from cezsar.data.descriptions import save_descriptions
from cezsar.data.features import FeatureStore
from cezsar.data.labels import resolve, spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.compute import computing, pick_device, sent
from cezsar.errors import InputError
from cezsar.model import MAX_TOKENS, CrossModal, clip_embeddings, stack
from cezsar.training import semantic_transfer as semantic
from cezsar.training.loop import DivergedError, Progress, Rows, ood_of, signs_of_collapse, standardise
from cezsar.training.runs import Run, RunConfig
from cezsar.training.semantic_transfer import Seen, Sides, Transfer

# Where the defaults depart from CEZSAR's; `validation` is a share of the CLASSES, `standardise` always on.
MODEL = {"d_model": 256, "heads": 4, "ffn": 512, "recipe": "cross-modal"}
TRAINING = {
    "epochs": 30, "patience": 6, "batch": 64, "lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 1e-2,
    "validation": 0.15, "standardise": True,
}  # fmt: skip
SCALE = 8.0  # of cosines before a softmax
MATCHING = 0.5  # weight of the part of the alignment loss in which labels read videos
TRIALS = 3  # halves of the seen classes that K, T and λ are chosen on


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

    def of(self, classes: Sequence[int] | IntArray) -> Clips:
        """Clips of some classes alone, by index."""
        sentences = {self.names[c]: self.sentences[self.names[c]] for c in classes}
        kept = [row for row, label in enumerate(self.labels) if label in sentences]
        ids, labels = ([part[row] for row in kept] for part in (self.ids, self.labels))
        return Clips(ids, labels, Rows(self.features.store, [self.features.places[row] for row in kept]), sentences)

    def vectors(self, encoder: Encoder) -> FloatArray:
        """(C, S) sentence vectors of the descriptions."""
        return encoder.encode(list(self.sentences.values()))

    def tokens(self, encoder: Encoder) -> list[FloatArray]:
        """`label_tokens` of the classes."""
        return label_tokens(encoder, self.names, list(self.sentences.values()))


def clips_of(dataset: Dataset, store: FeatureStore, descriptions: Mapping[str, Sequence[str]]) -> Clips:
    """The labelled clips of a data set that a store holds; of several sentences a class the first describes it."""
    all_places = ((clip, dataset.segments.get(clip, (clip, 0, sys.maxsize))) for clip in dataset.labels)
    places = {clip: place for clip, place in all_places if place[0] in store}
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
    return np.asarray(model.label_embedding(*_stacked(model, tokens, MAX_TOKENS)).float().cpu())


def _stacked(model: CrossModal, rows: Sequence[FloatArray], longest: int) -> tuple[Tensor, Tensor]:
    batch, lengths = sent(model.feature_mean.device, *stack(rows, longest))
    return batch, lengths


class _Objective(nn.Module):
    """The model with the parts that only training needs, and the sum of its losses on a batch: discriminative, a
    softmax over seen classes; alignment, f_v against f_t, contrastive both ways; matching, whether label tokens that
    read the video's go with it, against the label most easily taken for it."""

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        self.model = CrossModal(config)
        self.classes = nn.Parameter(torch.randn(n_classes, config.d_emb))
        self.match = nn.Linear(config.d_model, 1)

    def forward(self, clips: list[FloatArray], tokens: list[FloatArray], own: IntArray, class_K: IntArray) -> Tensor:
        """Of B clips, the tokens of the K labels in the batch, each clip's label, and each label's seen class."""
        model = self.model
        videos = _stacked(model, clips, model.config.longest_s)
        tokens_KLS, words_K = _stacked(model, tokens, MAX_TOKENS)
        own_B, class_B = (torch.from_numpy(index).to(words_K.device) for index in (own, class_K[own]))
        visual_BE, right_BM = model.pairs(*videos, tokens_KLS[own_B], words_K[own_B])
        visual_BE = F.normalize(visual_BE, dim=1)
        by_class_BC = SCALE * visual_BE @ F.normalize(self.classes, dim=1).T
        by_label_BK = SCALE * visual_BE @ F.normalize(model.label_embedding(tokens_KLS, words_K), dim=1).T
        is_own_BK = F.one_hot(own_B, len(tokens)).bool()
        # Label to video: each label has several videos in the batch, which share its probability.
        to_video = -((F.log_softmax(by_label_BK, dim=0) * is_own_BK).sum(0) / is_own_BK.sum(0)).mean()
        loss = F.cross_entropy(by_class_BC, class_B) + (F.cross_entropy(by_label_BK, own_B) + to_video) / 2
        if len(tokens) > 1:
            other_B = by_label_BK.detach().masked_fill(is_own_BK, -torch.inf).argmax(dim=1)
            _, wrong_BM = model.pairs(*videos, tokens_KLS[other_B], words_K[other_B])
            logits = self.match(torch.cat([right_BM, wrong_BM]))[:, 0]
            truth = torch.zeros_like(logits)
            truth[: len(clips)] = 1
            loss = loss + MATCHING * F.binary_cross_entropy_with_logits(logits, truth)
        return loss


def train_model(
    features: Sequence[FloatArray], class_N: IntArray, tokens: Sequence[FloatArray], config: ModelConfig,
    training: TrainingConfig, generator: torch.Generator, *, device: str | None = None,
    on_progress: Progress = lambda line: None,
) -> CrossModal:  # fmt: skip
    """A model trained on N clips of (T_i, D) features and seen class `class_N`, with (L_c, S) `label_tokens` a class. A
    share of the classes is held out, and the epoch that names their clips best is kept. All follows from the
    generator."""
    present = np.unique(class_N)
    if len(present) < 4:
        raise InputError(f"there are labelled clips of {len(present)} classes; training needs four at least")
    order = present[torch.randperm(len(present), generator=generator).numpy()]
    count = min(max(2, round(training.validation * len(present))), len(present) - 2)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    clips = np.flatnonzero(np.isin(class_N, kept))
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        objective = _Objective(config, len(kept))
        model = objective.model
        standardise(model, (features[n] for n in clips.tolist()))
        parameters = objective.to(pick_device(device)).parameters()
        optimiser = torch.optim.AdamW(parameters, training.lr, training.betas, weight_decay=training.weight_decay)
        best, best_state, bad = -1.0, model.state_dict(), 0
        for epoch in range(1, training.epochs + 1):
            objective.train()
            losses = []
            shuffled = clips[torch.randperm(len(clips)).numpy()]
            for part in np.array_split(shuffled, -(-len(clips) // training.batch)):
                labels, own = np.unique(class_N[part], return_inverse=True)
                said, class_K = [tokens[c] for c in labels.tolist()], np.searchsorted(kept, labels)
                with computing(model.feature_mean.device, "fp32"):
                    loss = objective([features[n] for n in part.tolist()], said, own, class_K)
                    losses.append(float(loss.detach()))
                    if not np.isfinite(losses[-1]):
                        raise DivergedError(f"the loss of the cross-modal model is {losses[-1]}; lower --lr")
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.step()
            figures = _held_out(model.eval(), features, class_N, tokens, held)
            bad += 1
            if figures["held_out_top1"] > best:
                best, bad = figures["held_out_top1"], 0
                best_state = {name: value.clone() for name, value in model.state_dict().items()}
            line = {"kind": "epoch", "epoch": epoch, "train_loss": float(np.mean(losses))}
            on_progress(line | figures | {"best": not bad})
            if bad >= training.patience:
                break
        model.load_state_dict(best_state)
    return model.eval()


def _held_out(
    model: CrossModal, features: Sequence[FloatArray], class_N: IntArray, tokens: Sequence[FloatArray], held: IntArray
) -> dict[str, float]:
    """How clips of held-out classes are named among these by cos(f_v, f_t); and `signs_of_collapse`."""
    rows = np.flatnonzero(np.isin(class_N, held))
    true_N = np.searchsorted(held, class_N[rows])
    videos_NE = clip_embeddings(model, [features[n] for n in rows.tolist()])
    cosine_NC = unit_rows(videos_NE) @ unit_rows(label_embeddings(model, [tokens[c] for c in held.tolist()])).T
    return {
        "validation_loss": float(F.cross_entropy(SCALE * torch.from_numpy(cosine_NC), torch.from_numpy(true_N))),
        "held_out_top1": float((cosine_NC.argmax(axis=1) == true_N).mean()),
        **signs_of_collapse(torch.from_numpy(videos_NE)),
    }


def train(
    seen: Clips, sentences: Encoder, folder: str | Path, *, model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None, trials: int = TRIALS, grid: Sequence[Transfer] | None = None,
    domain: str = "unnamed videos", descriptions: Mapping[str, Sequence[str]] | None = None, resume: bool = False,
    device: str | None = None, on_progress: Progress = lambda line: None,
) -> Run:  # fmt: skip
    """Train a model on labelled clips, choose K, T and λ of semantic transfer, and return its run. These are chosen
    among `grid` on halves of the seen classes, with a model for each that never saw the half it names. Arguments and
    errors are those of `loop.train`, save that an interrupted run begins anew, and that lines of trials have their
    number."""
    if len(seen.names) < 8:
        raise InputError(f"there are labelled clips of {len(seen.names)} classes; the cross-modal method needs eight")
    store, started = seen.features.store, time.perf_counter()
    content = json.dumps([store.fingerprint, seen.ids, seen.labels, seen.sentences], sort_keys=True)
    config = RunConfig(
        *configs(store, sentences, model, training),
        {"name": store.provenance["encoder"], "fingerprint": store.provenance["fingerprint"]},
        {"name": sentences.name, "fingerprint": sentences.fingerprint},
        hashlib.sha256(content.encode()).hexdigest(), domain, fusion={"alpha": 1.0, "beta": 0.0, "gamma": 0.0},
    )  # fmt: skip
    with alone(folder):
        run = Run.create(folder, config, resume=resume)
        if run.trained:
            return run
        generator = torch.Generator().manual_seed(config.training.seed)
        (run.folder / "history.jsonl").unlink(missing_ok=True)

        def note(trial: int, line: dict[str, Any]) -> None:
            if not trial:
                run.log(line)
            on_progress(line | ({"trial": trial} if trial else {}))

        def trained(clips: Clips, trial: int) -> CrossModal:
            return train_model(
                clips.features, clips.class_index, clips.tokens(sentences), config.model, config.training, generator,
                device=device, on_progress=partial(note, trial),
            )  # fmt: skip

        made = []
        halves = semantic.split_classes(len(seen.names), np.random.default_rng(config.training.seed), trials)
        for trial, (kept, held) in enumerate(halves, start=1):
            known, other = seen.of(kept), seen.of(held)
            made.append((sides_in(trained(known, trial), known, other, sentences), other.class_index))
        tried, final = semantic.try_all(made, grid or semantic.GRID), trained(seen, 0)
        how = semantic.best_of(tried)
        places_SE = semantic.visual_prototypes(clip_embeddings(final, seen.features), seen.class_index, len(seen.names))
        kept_classes = Seen(seen.names, seen.vectors(sentences), places_SE.astype(np.float32), how)
        kept_classes.save(run.folder / "seen.safetensors")
        ood_of(seen.features, np.arange(len(seen.ids)), config).save(run.folder / "domain.safetensors")
        if descriptions is not None:
            save_descriptions(run.folder / "prototypes.json", descriptions)
        lines = run.history()
        best = max(lines, key=lambda line: line["held_out_top1"])
        record = {
            "epochs": len(lines), "best_epoch": best["epoch"], "validation_loss": best["validation_loss"],
            "held_out_top1": best["held_out_top1"],
            "transfer": how._asdict() | {"top1": float(np.mean(tried[how])), "trials": trials},
            "train_clips": len(seen.ids), "train_classes": len(seen.names), "precision": "fp32",
            "triplets": {"store": store.fingerprint},
        }  # fmt: skip
        run.finish(final, started, record)
        return run


def configs(
    store: FeatureStore, sentences: Encoder, model: Mapping[str, Any] | None, training: Mapping[str, Any] | None
) -> tuple[ModelConfig, TrainingConfig]:
    """`MODEL` and `TRAINING` with the fields that are given, for features and sentence vectors of these widths."""
    widths = {"feature_dim": store.dim, "sentence_dim": sentences.dim, "recipe": MODEL["recipe"]}
    shape = from_dict(ModelConfig, MODEL | dict(model or {}) | widths)
    return shape, from_dict(TrainingConfig, TRAINING | dict(training or {}))


def sides_of(
    known: Clips, other: Clips, sentences: Encoder, clips: Callable[[Rows], FloatArray], texts_UE: FloatArray
) -> Sides:
    """Transfer from seen clips to others, by what embeds clips and by f_t; r_us is of sentence vectors."""
    return Sides(
        semantic.visual_prototypes(clips(known.features), known.class_index, len(known.names)),
        semantic.relatedness(other.vectors(sentences), known.vectors(sentences)),
        unit_rows(clips(other.features).astype(np.float64)),
        unit_rows(texts_UE.astype(np.float64)),
    )


def sides_in(model: CrossModal, known: Clips, other: Clips, sentences: Encoder) -> Sides:
    """`sides_of` in the space of a model."""
    texts_UE = label_embeddings(model, other.tokens(sentences))
    return sides_of(known, other, sentences, partial(clip_embeddings, model), texts_UE)
