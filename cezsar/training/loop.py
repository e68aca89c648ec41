"""Training (Estevam et al., ICPR 2026, Eq. 7 and Section 4): triplet margin loss, AdamW, early stopping.

A step embeds each sub-clip once and scores it against all its positives and negatives; `order="triplet"` keeps the
plain order, one triplet a sample. Everything random follows from the seed, the epoch and the step, so a run that is
killed and resumed ends with the same weights.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cezsar.atomic import replacing, write_json
from cezsar.data.features import FeatureStore
from cezsar.encoders import scene_columns
from cezsar.errors import CezsarError, FormatError, MismatchError
from cezsar.model import CEZSAR, ModelConfig
from cezsar.training.runs import FUSION, Familiarity, Run, RunConfig, TrainingConfig
from cezsar.training.samples import Batch, Samples, split_by_video
from cezsar.training.triplets import Triplets

STEPS_PER_LINE = 20  # a line of history, and a chance to show progress
STEPS_PER_STATE = 200  # a saved state within a long epoch
FAMILIAR_CLIPS = 20_000  # sub-clips at most that tell what a run is familiar with: their means are held together
Progress = Callable[[dict[str, Any]], None]


class DivergedError(CezsarError):
    """The loss is no longer a number."""


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


def loss_sum(model: CEZSAR, batch: Batch, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of Eq. 7 over a batch's valid triplets, their number, and VE (B, E)."""
    visual_BE = model.visual_embedding(batch.features_BTD, batch.lengths_B)
    positives_BPE = model.sentence_embedding(batch.positives_BPS)
    negatives_BPnE = model.sentence_embedding(batch.negatives_BPnS)
    # Distances in float32: under mixed precision the embeddings come as bf16.
    anchor = visual_BE.float()[:, None, None]
    losses_BPn = triplet_loss(anchor, positives_BPE.float()[:, :, None], negatives_BPnE.float(), margin)
    valid_BPn = batch.valid_BPn
    return torch.where(valid_BPn, losses_BPn, 0.0).sum(), valid_BPn.sum(), visual_BE


class Trainer:
    """One training run: made by `train`, which is what callers use."""

    def __init__(self, run: Run, triplets: Triplets, store: FeatureStore, device: torch.device) -> None:
        self.run, self.triplets, self.device = run, triplets, device
        self.config: TrainingConfig = run.config.training
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            self.model = CEZSAR(run.config.model)
        self.samples = Samples(triplets, store, self.model)
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

    def _fit_features(self) -> None:
        """Standardisation and familiarity, both from training sub-clips only."""
        clips = self.train_clips
        if len(clips) > FAMILIAR_CLIPS:
            drawn = np.random.default_rng([self.config.seed, 4]).choice(len(clips), FAMILIAR_CLIPS, replace=False)
            clips = clips[np.sort(drawn)]
        means = np.stack([self.samples.features(clip).double().mean(0).float().numpy() for clip in clips.tolist()])
        scene = scene_columns(self.run.config.feature_encoder["name"])
        familiarity = Familiarity.fit(means, np.random.default_rng([self.config.seed, 3]), scene)
        familiarity.save(self.run.folder / "domain.safetensors")
        if self.config.standardise:
            self._standardise()

    def _standardise(self) -> None:
        """Mean and deviation of all training seconds, into the model."""
        total = square = torch.zeros(self.run.config.model.feature_dim, dtype=torch.float64)
        count = 0
        for clip in self.train_clips.tolist():
            features_TD = self.samples.features(clip).double()
            total, square = total + features_TD.sum(0), square + (features_TD**2).sum(0)
            count += len(features_TD)
        mean_D = total / count
        std_D = (square / count - mean_D**2).clamp(min=0).sqrt()
        self.model.feature_mean.copy_(mean_D.float())
        self.model.feature_std.copy_(torch.where(std_D > 1e-4, std_D, torch.ones_like(std_D)).float())

    # One epoch --------------------------------------------------------------------------------------------------

    def batches(self) -> list[npt.NDArray[np.int64]]:
        """The steps of the present epoch, in their order."""
        rng = np.random.default_rng([self.config.seed, 2, self.epoch])
        if self.config.order == "sub-clip":
            members = self.train_clips
        else:
            clips, column, rank = np.nonzero(self.triplets.negatives_MPn[self.train_clips] >= 0)
            members = np.stack([self.train_clips[clips], column, rank], axis=1)
        members = members[rng.permutation(len(members))]
        return [members[first : first + self.config.batch] for first in range(0, len(members), self.config.batch)]

    def step(self, members: npt.NDArray[np.int64]) -> tuple[float, int]:
        """One optimiser step. Returns the sum of the losses and the number of triplets."""
        torch.manual_seed(_mixed_seed(self.config.seed, self.epoch, self.step_in_epoch))  # dropout
        self.model.train()
        make = self.samples.clips if members.ndim == 1 else self.samples.triples
        batch = make(members, self.device)
        with self._autocast():
            total, count, _ = loss_sum(self.model, batch, self.config.margin)
        self.optimiser.zero_grad(set_to_none=True)
        (total / count.clamp(min=1)).backward()
        self.optimiser.step()
        value = float(total.detach())
        if not np.isfinite(value):
            raise DivergedError(
                f"the loss is {value} at epoch {self.epoch + 1}, step {self.step_in_epoch + 1}; "
                "lower --lr, or standardise the features"
            )
        return value, int(count)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean validation loss, and two signs of collapse: dead joint dimensions and the spread of VE."""
        self.model.eval()
        total, count, embeddings = 0.0, 0, []
        for first in range(0, len(self.validation_clips), 256):
            batch = self.samples.clips(self.validation_clips[first : first + 256], self.device)
            part, number, visual_BE = loss_sum(self.model, batch, self.config.margin)
            total, count = total + float(part), count + int(number)
            embeddings.append(visual_BE)
        visual_NE = torch.cat(embeddings)
        dead = float((visual_NE == 0).all(0).float().mean())
        unit_NE = torch.nn.functional.normalize(visual_NE, dim=1)
        spread = 1.0 - float(unit_NE.mean(0).norm())
        return {"validation_loss": total / max(count, 1), "dead_units": dead, "spread": spread}

    def _autocast(self) -> AbstractContextManager[Any]:
        wanted = self.config.precision
        if wanted == "bf16" or (wanted == "auto" and self.device.type == "cuda" and torch.cuda.is_bf16_supported()):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    # All epochs -------------------------------------------------------------------------------------------------

    def fit(self, on_progress: Progress | None) -> None:
        """Train to the end: the last epoch, or `patience` epochs without a better validation loss."""
        started = time.perf_counter()
        steps_done = 0
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
                        elapsed = time.perf_counter() - block_start
                        steps_left = len(batches) * (self.config.epochs - self.epoch) - self.step_in_epoch
                        line = {
                            "kind": "steps",
                            "epoch": self.epoch + 1,
                            "step": self.step_in_epoch,
                            "steps": len(batches),
                            "loss": block_loss / max(block_triplets, 1),
                            "triplets_per_s": block_triplets / elapsed,
                            "eta_s": steps_left * (time.perf_counter() - started) / steps_done,
                        }
                        self._note(line, on_progress)
                        block_loss, block_triplets, block_start = 0.0, 0, time.perf_counter()
                    if self.step_in_epoch % STEPS_PER_STATE == 0:
                        self._save_state(started)
                self._end_epoch(on_progress)
                self._save_state(started)
        self._finish(started)

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

    def _note(self, line: dict[str, Any], on_progress: Progress | None) -> None:
        self.history.append(line)
        with (self.run.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if on_progress:
            on_progress(line)

    def _finish(self, started: float) -> None:
        if not self.best_state:
            raise DivergedError(
                f"the validation loss is no number after any of {self.epoch} epochs; lower --lr, or standardise the "
                "features"
            )
        self.model.load_state_dict(self.best_state)
        self.run.save_model(self.model)
        record = {
            "seconds": round(self.seconds_before + time.perf_counter() - started, 1),
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

    # Resuming ---------------------------------------------------------------------------------------------------

    STATE = (
        "epoch", "step_in_epoch", "bad_epochs", "best_loss", "best_epoch", "best_state", "epoch_loss",
        "epoch_triplets", "history",
    )  # fmt: skip

    def _save_state(self, started: float) -> None:
        state = {name: getattr(self, name) for name in self.STATE}
        state["model"] = self.model.state_dict()
        state["optimiser"] = self.optimiser.state_dict()
        state["seconds"] = self.seconds_before + time.perf_counter() - started
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


def train(
    triplets: Triplets,
    store: FeatureStore,
    folder: str | Path,
    config: RunConfig,
    *,
    resume: bool = False,
    device: str | torch.device | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Train a model, or finish training it, and return its run.

    Args:
        triplets: from `cezsar.training.triplets.build`.
        store: the features the triplets' sub-clips are rows of.
        folder: where the run is written.
        config: what to train; must agree with the run when resuming.
        resume: go on with the run in `folder`, to the same weights as without the break.
        device: "cpu", "cuda", ...; the best one present by default.
        on_progress: called with each line of history as it is written.

    Raises:
        MismatchError: the store's features are not those the triplets were mined for, or a resumed run differs.
        InputError: the folder already holds a run and `resume` is false; or too few videos.
        DivergedError: the loss is no longer a number.
    """
    wanted, found = triplets.record["feature_encoder"], store.provenance
    if wanted["fingerprint"] != found["fingerprint"]:
        raise MismatchError(
            f"the triplets were mined for features of {wanted['encoder']} ({wanted['fingerprint'][:16]}), the store "
            f"holds features of {found['encoder']} ({found['fingerprint'][:16]}); mine again with this store"
        )
    folder = Path(folder)
    if resume and (folder / "config.json").exists():
        run = Run.open(folder)
        if run.config != config:
            differing = [key for key, value in config.to_dict().items() if run.config.to_dict()[key] != value]
            raise MismatchError(
                f"run {folder} was started with other settings ({', '.join(differing)}); resume with the same ones, "
                "or train into another folder"
            )
        if run.trained:
            return run
    else:
        run = Run.create(folder, config)
    trainer = Trainer(run, triplets, store, torch.device(device or default_device()))
    trainer.resume()
    trainer.fit(on_progress)
    return run


def config_for(
    triplets: Triplets,
    store: FeatureStore,
    *,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    domain: str = "unnamed videos",
    objects: int = 3,
    fusion: dict[str, float] | None = None,
) -> RunConfig:
    """A run's configuration, with the widths and encoders that the data dictate.

    Args:
        model: `ModelConfig` fields to change from the paper's.
        training: `TrainingConfig` fields to change from the paper's.
        domain: one line on what the training videos show.
        objects: how many objects O(v) names.
        fusion: α, β, γ to use by default.
    """
    features, sentences = triplets.record["feature_encoder"], triplets.record["sentence_encoder"]
    shape = {"feature_dim": store.dim, "sentence_dim": triplets.vectors_NS.shape[1]} | (model or {})
    return RunConfig(
        ModelConfig.from_dict(shape),
        TrainingConfig.from_dict(training or {}),
        {"name": features["encoder"], "fingerprint": features["fingerprint"]},
        {"name": sentences["name"], "fingerprint": sentences["fingerprint"]},
        triplets.fingerprint,
        domain,
        objects,
        fusion=fusion or dict(FUSION),
    )


def default_device() -> str:
    """The best device here: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _mixed_seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
