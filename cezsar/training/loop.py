"""Training (Estevam et al., ICPR 2026, Eq. 7 and Section 4): triplet margin loss, AdamW, early stopping.

A step embeds each sub-clip once and scores it against all its positives and negatives; `order="triplet"` takes one
triplet a sample. Everything random follows from the seed, the epoch and the step, so a run that is killed and resumed
ends with the same weights. Features are read from the store a sub-clip at a time, since stores are larger than memory.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cezsar.atomic import replacing, write_json
from cezsar.config import ModelConfig, TrainingConfig, UseConfig, from_dict
from cezsar.data.descriptions import save_descriptions
from cezsar.data.features import FeatureStore
from cezsar.encoders import scene_columns
from cezsar.encoders.compute import pick_device
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.model import CEZSAR, stack
from cezsar.training.runs import OodDistance, Run, RunConfig
from cezsar.training.triplets import Triplets

IntArray = npt.NDArray[np.int64]
STEPS_PER_LINE = 20  # a line of history, and a chance to show progress
STEPS_PER_STATE = 200  # a saved state within a long epoch
OOD_CLIPS = 20_000  # sub-clips at most that the out-of-distribution distance is fitted on; their means are held
Progress = Callable[[dict[str, Any]], None]
"""Takes each line of history as it is written."""


class DivergedError(CezsarError):
    """The loss is no longer a number."""


def train(
    triplets: Triplets,
    store: FeatureStore,
    folder: str | Path,
    *,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    use: UseConfig | None = None,
    domain: str = "unnamed videos",
    head: LinearHead | None = None,
    descriptions: Mapping[str, Sequence[str]] | None = None,
    resume: bool = False,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Train a model, or finish training it, and return its run.

    Args:
        store: the features that the triplets' sub-clips are rows of.
        folder: where the run is written.
        model: fields of `ModelConfig` that differ from the paper's; widths come from the data.
        training: fields of `TrainingConfig` that differ from the paper's.
        domain: one line on what the training videos show.
        head: an object recogniser to keep in the run.
        descriptions: class descriptions to keep there, for ranking by default.
        resume: go on with the run in `folder`, to the same weights as without the break.
        device: "cpu", "cuda", ...; the best one present by default.

    Raises:
        MismatchError: the store's features are not those the triplets were mined for, or not those that `head` takes;
            or a resumed run differs.
        InputError: the folder already holds a run and `resume` is false; or too few videos.
        DivergedError: the loss is no longer a number.
    """
    wanted, found = triplets.record["feature_encoder"], store.provenance
    if wanted["fingerprint"] != found["fingerprint"]:
        raise MismatchError(
            f"the triplets were mined for features of {wanted['encoder']} ({wanted['fingerprint'][:16]}), the store "
            f"holds features of {found['encoder']} ({found['fingerprint'][:16]}); mine again with this store"
        )
    if head is not None and head.weight.shape[1] != store.dim:
        raise MismatchError(
            f"the object recogniser takes features of {head.weight.shape[1]} columns, the store's have {store.dim}; "
            "give one that was made for the store's encoder"
        )
    sentences, use = triplets.record["sentence_encoder"], use or UseConfig()
    widths = {"feature_dim": store.dim, "sentence_dim": triplets.vectors_NS.shape[1]}
    config = RunConfig(
        from_dict(ModelConfig, widths | dict(model or {})),
        from_dict(TrainingConfig, training or {}),
        {"name": wanted["encoder"], "fingerprint": wanted["fingerprint"]},
        {"name": sentences["name"], "fingerprint": sentences["fingerprint"]},
        triplets.fingerprint,
        domain,
        use.objects,
        fusion=use.fusion,
    )
    run = Run.create(folder, config, resume=resume)
    if not run.trained:
        trainer = Trainer(run, triplets, store, torch.device(pick_device(device)))
        trainer.resume()
        trainer.fit(on_progress)
    if head is not None:
        head.save(run.folder / "objects.safetensors")
    if descriptions is not None:
        save_descriptions(run.folder / "prototypes.json", descriptions)
    return run


# Batches and their loss ----------------------------------------------------------------------------------------------


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Eq. 7, element by element: `max(||v - p|| - ||v - n|| + ε, 0)`, Euclidean.

    Args:
        anchor, positive, negative: (..., E), broadcast against each other.

    Returns:
        (...) losses, not reduced.
    """
    to_positive = torch.linalg.vector_norm(anchor - positive, dim=-1)
    to_negative = torch.linalg.vector_norm(anchor - negative, dim=-1)
    return torch.relu(to_positive - to_negative + margin)


@dataclass(frozen=True)
class Batch:
    """One step: B clips and, for each, P positives with n negatives; `valid` marks the triplets that exist."""

    features_BTD: Tensor
    lengths_B: Tensor
    positives_BPS: Tensor
    negatives_BPnS: Tensor
    valid_BPn: Tensor


def loss_sum(model: CEZSAR, batch: Batch, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of Eq. 7 over a batch's valid triplets, their number, and VE (B, E)."""
    visual_BE = model.visual_embedding(batch.features_BTD, batch.lengths_B)
    positives_BPE = model.sentence_embedding(batch.positives_BPS)
    negatives_BPnE = model.sentence_embedding(batch.negatives_BPnS)
    # Distances in float32: under mixed precision the embeddings come as bf16.
    anchor = visual_BE.float()[:, None, None]
    losses_BPn = triplet_loss(anchor, positives_BPE.float()[:, :, None], negatives_BPnE.float(), margin)
    return torch.where(batch.valid_BPn, losses_BPn, 0.0).sum(), batch.valid_BPn.sum(), visual_BE


class Samples:
    """Sub-clips with their features and sentence vectors, as batches on a device."""

    def __init__(self, triplets: Triplets, store: FeatureStore, model: CEZSAR, device: torch.device) -> None:
        self.triplets, self.device = triplets, device
        self.max_seconds = model.padded_seconds or model.config.max_seconds
        self.vectors_NS = torch.from_numpy(triplets.vectors_NS)
        self._store = store

    def features(self, sub_clip: int) -> Tensor:
        """(T, D) float32 features of one sub-clip."""
        video = self.triplets.video_ids[self.triplets.video_M[sub_clip]]
        return torch.from_numpy(self._store.rows(video, *self.triplets.rows_M2[sub_clip].tolist()))

    def batch(self, members: IntArray) -> Batch:
        """A batch of sub-clips (B,), each with all its triplets; or of single triplets (B, 3): sub-clip, positive
        column, negative column."""
        if members.ndim == 1:
            clips = members
            positives_BP, negatives_BPn = self.triplets.positives_MP[clips], self.triplets.negatives_MPn[clips]
        else:
            clips, column, rank = members.T
            positives_BP = self.triplets.positives_MP[clips, column][:, None]
            negatives_BPn = self.triplets.negatives_MPn[clips, column, rank][:, None, None]
        features_BTD, lengths_B = stack([self.features(int(clip)) for clip in clips], self.max_seconds)
        valid_BPn = torch.from_numpy((negatives_BPn >= 0) & (positives_BP >= 0)[..., None])
        positives_BPS, negatives_BPnS = (
            self.vectors_NS[torch.from_numpy(indices.clip(0).astype(np.int64))]
            for indices in (positives_BP, negatives_BPn)
        )
        parts = (features_BTD, lengths_B, positives_BPS, negatives_BPnS, valid_BPn)
        return Batch(*(part.to(self.device, non_blocking=True) for part in parts))


def split_by_video(triplets: Triplets, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Sub-clips for training and for the validation loss; no video is on both sides.

    Raises:
        InputError: fewer than two videos have triplets.
    """
    usable_M = (triplets.negatives_MPn >= 0).any((1, 2))
    videos = np.unique(triplets.video_M[usable_M])
    if len(videos) < 2:
        raise InputError(f"{len(videos)} video has triplets; training needs two, to keep one for the validation loss")
    count = min(max(1, round(share * len(videos))), len(videos) - 1)
    held = np.random.default_rng([seed, 1]).choice(videos, count, replace=False)
    in_validation_M = np.isin(triplets.video_M, held)
    return np.flatnonzero(usable_M & ~in_validation_M), np.flatnonzero(usable_M & in_validation_M)


# The loop ------------------------------------------------------------------------------------------------------------


class Trainer:
    """One training run: made by `train`, which is what callers use."""

    STATE = (
        "epoch", "step_in_epoch", "bad_epochs", "best_loss", "best_epoch", "best_state", "epoch_loss",
        "epoch_triplets", "history",
    )  # fmt: skip

    def __init__(self, run: Run, triplets: Triplets, store: FeatureStore, device: torch.device) -> None:
        self.run, self.triplets, self.device = run, triplets, device
        self.config: TrainingConfig = run.config.training
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            self.model = CEZSAR(run.config.model)
        self.samples = Samples(triplets, store, self.model, device)
        self.train_clips, self.validation_clips = split_by_video(triplets, self.config.validation, self.config.seed)
        self._fit_features()
        self.model.to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), self.config.lr, self.config.betas, weight_decay=self.config.weight_decay
        )
        self.epoch, self.step_in_epoch, self.bad_epochs = 0, 0, 0
        self.best_loss, self.best_epoch = float("inf"), 0
        self.best_state: dict[str, Tensor] = {}
        self.epoch_loss, self.epoch_triplets = 0.0, 0
        self.history: list[dict[str, Any]] = []
        self.seconds_before = 0.0
        self.started = time.perf_counter()

    def _fit_features(self) -> None:
        """The out-of-distribution distance, and standardisation where asked for: from training sub-clips only."""
        clips = self.train_clips
        drawn = np.arange(len(clips))
        if len(clips) > OOD_CLIPS:
            drawn = np.random.default_rng([self.config.seed, 4]).choice(len(clips), OOD_CLIPS, replace=False)
        wanted, means, count = set(drawn.tolist()), [], 0
        total = square = torch.zeros(self.run.config.model.feature_dim, dtype=torch.float64)
        for number, clip in enumerate(clips.tolist()):
            if number in wanted or self.config.standardise:
                features_TD = self.samples.features(clip).double()
                total, square = total + features_TD.sum(0), square + (features_TD**2).sum(0)
                count += len(features_TD)
                if number in wanted:
                    means.append(features_TD.mean(0).float().numpy())
        scene = scene_columns(self.run.config.feature_encoder["name"])
        ood = OodDistance.fit(np.stack(means), np.random.default_rng([self.config.seed, 3]), scene)
        ood.save(self.run.folder / "domain.safetensors")
        if self.config.standardise:
            mean_D = total / count
            std_D = (square / count - mean_D**2).clamp(min=0).sqrt()
            self.model.feature_mean.copy_(mean_D.float())
            self.model.feature_std.copy_(torch.where(std_D > 1e-4, std_D, torch.ones_like(std_D)).float())

    def batches(self) -> list[IntArray]:
        """The steps of the present epoch, in their order."""
        rng = np.random.default_rng([self.config.seed, 2, self.epoch])
        if self.config.order == "sub-clip":
            members = self.train_clips
        else:
            clips, column, rank = np.nonzero(self.triplets.negatives_MPn[self.train_clips] >= 0)
            members = np.stack([self.train_clips[clips], column, rank], axis=1)
        members = members[rng.permutation(len(members))]
        return [members[first : first + self.config.batch] for first in range(0, len(members), self.config.batch)]

    def step(self, members: IntArray) -> tuple[float, int]:
        """One optimiser step. Returns the sum of the losses and the number of triplets."""
        mixed = np.random.SeedSequence([self.config.seed, self.epoch, self.step_in_epoch]).generate_state(1, np.uint64)
        torch.manual_seed(int(mixed[0] >> np.uint64(1)))  # dropout
        self.model.train()
        with self._autocast():
            total, count, _ = loss_sum(self.model, self.samples.batch(members), self.config.margin)
        self.optimiser.zero_grad(set_to_none=True)
        (total / count.clamp(min=1)).backward()
        self.optimiser.step()
        value = float(total.detach())
        if not np.isfinite(value):
            raise self._diverged(f"the loss is {value} at epoch {self.epoch + 1}, step {self.step_in_epoch + 1}")
        return value, int(count)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean validation loss, and two signs of collapse: dead joint dimensions and the spread of VE."""
        self.model.eval()
        total, count, embeddings = 0.0, 0, []
        for first in range(0, len(self.validation_clips), 256):
            batch = self.samples.batch(self.validation_clips[first : first + 256])
            part, number, visual_BE = loss_sum(self.model, batch, self.config.margin)
            total, count = total + float(part), count + int(number)
            embeddings.append(visual_BE)
        visual_NE = torch.cat(embeddings)
        dead = float((visual_NE == 0).all(0).float().mean())
        spread = 1.0 - float(torch.nn.functional.normalize(visual_NE, dim=1).mean(0).norm())
        return {"validation_loss": total / max(count, 1), "dead_units": dead, "spread": spread}

    def fit(self, on_progress: Progress | None) -> None:
        """Train to the end: the last epoch, or `patience` epochs without a better validation loss."""
        self.started, steps_done = time.perf_counter(), 0
        with torch.random.fork_rng():
            while self.epoch < self.config.epochs and self.bad_epochs < self.config.patience:
                batches = self.batches()
                block_loss, block_triplets, block_start = 0.0, 0, time.perf_counter()
                while self.step_in_epoch < len(batches):
                    loss, count = self.step(batches[self.step_in_epoch])
                    self.step_in_epoch, steps_done = self.step_in_epoch + 1, steps_done + 1
                    self.epoch_loss, self.epoch_triplets = self.epoch_loss + loss, self.epoch_triplets + count
                    block_loss, block_triplets = block_loss + loss, block_triplets + count
                    if self.step_in_epoch % STEPS_PER_LINE == 0 or self.step_in_epoch == len(batches):
                        steps_left = len(batches) * (self.config.epochs - self.epoch) - self.step_in_epoch
                        line = {
                            "kind": "steps",
                            "epoch": self.epoch + 1,
                            "step": self.step_in_epoch,
                            "steps": len(batches),
                            "loss": block_loss / max(block_triplets, 1),
                            "triplets_per_s": block_triplets / (time.perf_counter() - block_start),
                            "eta_s": steps_left * (time.perf_counter() - self.started) / steps_done,
                        }
                        self._note(line, on_progress)
                        block_loss, block_triplets, block_start = 0.0, 0, time.perf_counter()
                    if self.step_in_epoch % STEPS_PER_STATE == 0:
                        self._save_state()
                self._end_epoch(on_progress)
                self._save_state()
        self._finish()

    def _end_epoch(self, on_progress: Progress | None) -> None:
        figures = self.validate()
        better = figures["validation_loss"] < self.best_loss
        if better:
            self.best_loss, self.best_epoch = figures["validation_loss"], self.epoch + 1
            self.best_state = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        self.bad_epochs = 0 if better else self.bad_epochs + 1
        train_loss = self.epoch_loss / max(self.epoch_triplets, 1)
        line = {"kind": "epoch", "epoch": self.epoch + 1, "train_loss": train_loss, **figures, "best": better}
        self._note(line, on_progress)
        self.epoch, self.step_in_epoch = self.epoch + 1, 0
        self.epoch_loss, self.epoch_triplets = 0.0, 0

    def _finish(self) -> None:
        if not self.best_state:
            raise self._diverged(f"the validation loss is no number after any of {self.epoch} epochs")
        self.model.load_state_dict(self.best_state)
        self.run.save_model(self.model)
        record = {
            "seconds": round(self._seconds(), 1),
            "epochs": self.epoch,
            "best_epoch": self.best_epoch,
            "validation_loss": self.best_loss,
            "device": str(self.device),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "train_sub_clips": len(self.train_clips),
            "validation_sub_clips": len(self.validation_clips),
            "triplets": self.triplets.record,
        }
        write_json(self.run.folder / "record.json", record)
        (self.run.folder / "state.pt").unlink(missing_ok=True)

    def _note(self, line: dict[str, Any], on_progress: Progress | None) -> None:
        self.history.append(line)
        with (self.run.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if on_progress:
            on_progress(line)

    def _autocast(self) -> AbstractContextManager[Any]:
        wanted = self.config.precision
        if wanted == "bf16" or (wanted == "auto" and self.device.type == "cuda" and torch.cuda.is_bf16_supported()):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(f"{what}; lower --lr, or standardise the features")

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _save_state(self) -> None:
        state = {name: getattr(self, name) for name in self.STATE} | {"seconds": self._seconds()}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        with replacing(self.run.folder / "state.pt") as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Go back to the last saved state; what happened after it is done again, to the same result."""
        path = self.run.folder / "state.pt"
        if path.exists():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                self.model.load_state_dict(state["model"])
                self.optimiser.load_state_dict(state["optimiser"])
                for name in self.STATE:
                    setattr(self, name, state[name])
                self.seconds_before = state["seconds"]
            except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, UnpicklingError) as error:
                reason = str(error).splitlines()[:1]
                raise FormatError(f"{path} cannot be read {reason}; delete it to start this run afresh") from error
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        with replacing(self.run.folder / "history.jsonl") as temporary:
            temporary.write_text(lines, encoding="utf-8")
