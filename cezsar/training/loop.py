"""Training (Estevam et al., ICPR 2026, Eq. 7 and Section 4): triplet margin loss, AdamW, early stopping. A step embeds
each sub-clip once for all its triplets; `order="triplet"` takes one triplet a sample. Everything random follows from
the seed, the epoch and the step, so a resumed run ends with the same weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cezsar import archives
from cezsar.arrays import FloatArray, IntArray
from cezsar.atomic import alone, replacing, write_text
from cezsar.config import ModelConfig, TrainingConfig, UseConfig, from_dict
from cezsar.data.descriptions import save_descriptions
from cezsar.data.features import FeatureStore
from cezsar.encoders import scene_columns
from cezsar.encoders.compute import computing, inference, pick_device, pick_precision, sent
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.model import CEZSAR, CrossModal, stack
from cezsar.training import processes
from cezsar.training.processes import Group
from cezsar.training.runs import OodDistance, Run, RunConfig, refuse_other_encoder
from cezsar.training.triplets import Triplets

STEPS_PER_LINE = 20  # a line of history, and a chance to show progress
STEPS_PER_STATE = 200  # a saved state within a long epoch
Progress = Callable[[dict[str, Any]], object]
"""Takes each line of history as it is written."""


class DivergedError(CezsarError):
    """The loss is no longer a number."""


def train(
    triplets: Triplets, store: FeatureStore, folder: str | Path, *, model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None, use: UseConfig | None = None, domain: str = "unnamed videos",
    head: LinearHead | None = None, descriptions: Mapping[str, Sequence[str]] | None = None, resume: bool = False,
    device: str | None = None, compiled: bool = False, on_progress: Progress | None = None,
) -> Run:  # fmt: skip
    """Train a model, or with `resume` finish training it to the same weights; its run. `model` and `training` are
    fields that differ from the paper's, `head` and `descriptions` what to keep in the run; `compiled`: by torch's
    compiler, whose draws of dropout are others. Raises `MismatchError` where triplets, store, `head` or a resumed run
    do not belong together, `InputError` where the folder holds a run or there are too few videos, `DivergedError`."""
    features, sentences = triplets.record["feature_encoder"], triplets.record["sentence_encoder"]
    wanted, found = {"name": features["encoder"], "fingerprint": features["fingerprint"]}, store.provenance
    refuse_other_encoder("features", wanted, found["encoder"], found["fingerprint"], "the triplets were mined")
    if head is not None and head.weight.shape[1] != store.dim:
        raise MismatchError(
            f"the object recogniser takes features of {head.weight.shape[1]} columns, the store's have {store.dim}; "
            "give one that was made for the store's encoder"
        )
    use, widths = use or UseConfig(), {"feature_dim": store.dim, "sentence_dim": triplets.vectors_NS.shape[1]}
    config = RunConfig(
        from_dict(ModelConfig, widths | dict(model or {})), from_dict(TrainingConfig, training or {}), wanted,
        {"name": sentences["name"], "fingerprint": sentences["fingerprint"]}, triplets.fingerprint, domain,
        use.objects, fusion=use.fusion,
    )  # fmt: skip
    with processes.group() as group, nullcontext() if group.rank else alone(folder):
        run = Run(Path(folder), config) if group.rank else Run.create(folder, config, resume=resume)
        if head is not None and not group.rank:
            head.save(run.folder / "objects.safetensors")
        if descriptions is not None and not group.rank:
            save_descriptions(run.folder / "prototypes.json", descriptions)
        group.wait()
        if not run.trained:
            Trainer(run, triplets, store, pick_device(device), group, compiled).fit(on_progress)
        group.wait()
    return run


class Rows(Sequence[FloatArray]):
    """(T, D) features of clips, read from a store when asked for; a clip's place is a video, its first row and stop."""

    def __init__(self, store: FeatureStore, places: Sequence[tuple[str, int, int]]) -> None:
        self.store, self.places = store, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: Any) -> Any:
        return self.store.rows(*self.places[row])

    def batch(self, chosen: IntArray, longest: int) -> tuple[Tensor, Tensor]:
        """`stack` of some."""
        return stack([self[clip] for clip in chosen.tolist()], longest)

    def spans(self) -> dict[str, tuple[int, int]]:
        """Of each video, the rows that its clips reach over."""
        found: dict[str, tuple[int, int]] = {}
        for video, first, stop in self.places:
            earliest, latest = found.get(video, (first, stop))
            found[video] = min(earliest, first), min(max(latest, stop), self.store.length(video))
        return found


class Resident:
    """The same on a device: the spans of all videos in one table, (R, D) float16 as in the store."""

    def __init__(self, rows: Rows, device: torch.device) -> None:
        spans, shift = rows.spans(), dict[str, int]()
        ends = np.cumsum([stop - first for first, stop in spans.values()]).tolist()
        self.table_RD = torch.empty(ends[-1], rows.store.dim, dtype=torch.float16, device=device)
        for (video, (first, stop)), end in zip(spans.items(), ends, strict=True):
            self.table_RD[end - (stop - first) : end] = torch.from_numpy(rows.store.rows(video, first, stop))
            shift[video] = end - stop
        self.first_N = np.array([shift[video] + first for video, first, _ in rows.places])
        self.length_N = np.array([min(stop, spans[video][1]) - first for video, first, stop in rows.places])

    @staticmethod
    def fits(rows: Rows, device: torch.device) -> bool:
        """Whether half of what a GPU has free is enough."""
        if device.type != "cuda":
            return False
        wanted = 2 * rows.store.dim * sum(stop - first for first, stop in rows.spans().values())
        return wanted < torch.cuda.mem_get_info(device)[0] / 2

    def batch(self, chosen: IntArray, longest: int) -> tuple[Tensor, Tensor]:
        """`stack` of some, made on the device."""
        length_B, first_B = self.length_N[chosen], self.first_N[chosen]
        first_B, length_B = first_B + np.maximum(length_B - longest, 0) // 2, np.minimum(length_B, longest)
        inside_BT = np.arange(length_B.max()) < length_B[:, None]
        rows_BT = np.where(inside_BT, first_B[:, None] + np.arange(length_B.max()), 0)
        parts = map(torch.from_numpy, (rows_BT, inside_BT, length_B))
        rows, inside, lengths = sent(self.table_RD.device, *parts)
        return self.table_RD[rows].float().masked_fill(~inside[..., None], 0.0), lengths


def standardise(model: CEZSAR | CrossModal, clips: Iterable[FloatArray]) -> None:
    """Put the mean and the deviation of all seconds of (T_i, D) training clips into the model."""
    total, square, count = 0.0, 0.0, 0
    for clip_TD in (np.asarray(clip_TD, np.float64) for clip_TD in clips):
        total, square, count = total + clip_TD.sum(0), square + (clip_TD**2).sum(0), count + len(clip_TD)
    mean_D = np.asarray(total) / count
    std_D = np.sqrt(np.maximum(np.asarray(square) / count - mean_D**2, 0))
    model.feature_mean.copy_(torch.from_numpy(mean_D))
    model.feature_std.copy_(torch.from_numpy(np.where(std_D > 1e-4, std_D, 1.0)))


def ood_of(clips: Sequence[FloatArray], members: IntArray, config: RunConfig) -> OodDistance:
    """The out-of-distribution distance from those members of the clips that are trained on."""
    rng = np.random.default_rng([config.training.seed, 3])
    if len(members) > OodDistance.CLIPS:
        members = members[rng.choice(len(members), OodDistance.CLIPS, replace=False)]
    means_MD = np.stack([clips[clip].mean(0, dtype=np.float64) for clip in members.tolist()]).astype(np.float32)
    return OodDistance.fit(means_MD, rng, scene_columns(config.feature_encoder["name"]))


class TripletLoss(nn.Module):
    """Sum of Eq. 7, `max(||v - p|| - ||v - n|| + ε, 0)`, over triplets; their number; and VE (B, E)."""

    def __init__(self, model: CEZSAR, margin: float) -> None:
        super().__init__()
        self.model, self.margin = model, margin

    def forward(
        self, features_BTD: Tensor, lengths_B: Tensor, positives_BPS: Tensor, negatives_BPnS: Tensor, valid_BPn: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        visual_BE = self.model.visual_embedding(features_BTD, lengths_B)
        positives_BPE, negatives_BPnE = (
            self.model.sentence_embedding(vectors).float() for vectors in (positives_BPS, negatives_BPnS)
        )
        anchor = visual_BE.float()[:, None, None]  # distances in float32: under mixed precision embeddings come as bf16
        to_positive_BP1 = torch.linalg.vector_norm(anchor - positives_BPE[:, :, None], dim=-1)
        to_negative_BPn = torch.linalg.vector_norm(anchor - negatives_BPnE, dim=-1)
        losses_BPn = torch.relu(to_positive_BP1 - to_negative_BPn + self.margin)
        return torch.where(valid_BPn, losses_BPn, 0.0).sum(), valid_BPn.sum(), visual_BE


def batch_of(
    triplets: Triplets, clips: Rows | Resident, vectors_NS: Tensor, members: IntArray, longest: int,
    device: torch.device,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What `TripletLoss` takes, on the device; sentence vectors may be there. `members` are sub-clips (B,), each with
    all its triplets, or single triplets (B, 3): sub-clip, column of the positive, of the negative."""
    if members.ndim == 1:
        chosen = members
        positives_BP, negatives_BPn = triplets.positives_MP[chosen], triplets.negatives_MPn[chosen]
    else:
        chosen, column, rank = members.T
        positives_BP = triplets.positives_MP[chosen, column][:, None]
        negatives_BPn = triplets.negatives_MPn[chosen, column, rank][:, None, None]
    valid_BPn = torch.from_numpy((negatives_BPn >= 0) & (positives_BP >= 0)[..., None])
    indices = (torch.from_numpy(index.clip(0)) for index in (positives_BP, negatives_BPn))
    vectors = (vectors_NS[index] for index in sent(vectors_NS.device, *indices))
    return sent(device, *clips.batch(chosen, longest), *vectors, valid_BPn)


def signs_of_collapse(visual_NE: Tensor) -> dict[str, float]:
    """The share of joint dimensions that are always 0, and how far unit embeddings lie apart: 0 if all are one."""
    unit_NE = torch.nn.functional.normalize(visual_NE, dim=1)
    dead = float((visual_NE == 0).all(0).float().mean())
    return {"dead_units": dead, "spread": 1.0 - float(unit_NE.mean(0).norm())}


def split_by_video(triplets: Triplets, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Sub-clips for training and for the validation loss, no video on both sides; `InputError` for a single video."""
    usable_M = (triplets.negatives_MPn >= 0).any((1, 2))
    videos = np.unique(triplets.video_M[usable_M])
    if len(videos) < 2:
        raise InputError(f"{len(videos)} video has triplets; training needs two, to keep one for the validation loss")
    count = min(max(1, round(share * len(videos))), len(videos) - 1)
    held = np.random.default_rng([seed, 1]).choice(videos, count, replace=False)
    in_validation_M = np.isin(triplets.video_M, held)
    return np.flatnonzero(usable_M & ~in_validation_M), np.flatnonzero(usable_M & in_validation_M)


class Trainer:
    """One training run: made by `train`, which is what callers use. Begins where the run's saved state is."""

    def __init__(
        self, run: Run, triplets: Triplets, store: FeatureStore, device: str, group: Group, compiled: bool = False
    ) -> None:
        self.group = group
        self.run, self.triplets, self.device, self.config = run, triplets, torch.device(device), run.config.training
        self.state = SimpleNamespace(  # with the weights and the optimiser's state, what resuming needs
            epoch=0, step_in_epoch=0, epoch_loss=0.0, epoch_triplets=0,  # sums over this epoch so far
            bad_epochs=0, best_loss=math.inf, best_epoch=0, best_state={}, history=[], seconds=0.0,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            self.model = CEZSAR(run.config.model)
        rows = zip(triplets.video_M.tolist(), triplets.rows_M2.tolist(), strict=True)
        self.clips = Rows(store, [(triplets.video_ids[video], first, stop) for video, (first, stop) in rows])
        self.train_clips, self.validation_clips = split_by_video(triplets, self.config.validation, self.config.seed)
        if not group.rank:
            ood_of(self.clips, self.train_clips, run.config).save(run.folder / "domain.safetensors")
        if self.config.standardise:
            standardise(self.model, (self.clips[clip] for clip in self.train_clips.tolist()))
        parameters, how = self.model.to(self.device).parameters(), self.config
        wanted = "fp32" if how.precision == "auto" and self.device.type != "cuda" else how.precision
        self.precision, self.vectors_NS = pick_precision(wanted, device), torch.from_numpy(triplets.vectors_NS)
        self.source: Rows | Resident = self.clips
        if Resident.fits(self.clips, self.device):
            self.source, self.vectors_NS = Resident(self.clips, self.device), self.vectors_NS.to(self.device)
        self.optimiser = torch.optim.AdamW(parameters, how.lr, how.betas, weight_decay=how.weight_decay)
        self._resume()
        self.loss = TripletLoss(self.model, self.config.margin)
        if compiled:
            self.loss.compile()
        self.shared_loss = group.together(self.loss)
        self.started = time.perf_counter() - self.state.seconds

    def batches(self) -> list[IntArray]:
        """The steps of the present epoch, in their order."""
        members = self.train_clips
        if self.config.order == "triplet":
            clips, column, rank = np.nonzero(self.triplets.negatives_MPn[self.train_clips] >= 0)
            members = np.stack([self.train_clips[clips], column, rank], axis=1)
        rng = np.random.default_rng([self.config.seed, 2, self.state.epoch])
        members = members[rng.permutation(len(members))]
        return [members[first : first + self.config.batch] for first in range(0, len(members), self.config.batch)]

    def step(self, members: IntArray) -> None:
        """One optimiser step."""
        state = self.state
        mixed = np.random.SeedSequence([self.config.seed, state.epoch, state.step_in_epoch])
        seed = int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1)) + self.group.rank
        torch.manual_seed(seed)  # dropout
        self.model.train()
        with computing(self.device, self.precision):
            total, own, _ = self.shared_loss(*self._batch(self.group.share(members)))
        value, count = self.group.summed(torch.stack([total.detach().double(), own.double()])).tolist()
        self.optimiser.zero_grad(set_to_none=True)
        with computing(self.device, "fp32"):
            (total * self.group.size / max(count, 1)).backward()  # its gradient is then the mean over the processes
            self.optimiser.step()
        state.step_in_epoch += 1
        state.epoch_loss, state.epoch_triplets = state.epoch_loss + value, state.epoch_triplets + int(count)
        if not math.isfinite(value):
            where = f"at epoch {state.epoch + 1}, step {state.step_in_epoch}"
            raise DivergedError(f"the loss is {value} {where}; lower --lr, or standardise the features")

    def _batch(self, members: IntArray) -> tuple[Tensor, ...]:
        longest = self.model.config.longest_s
        return batch_of(self.triplets, self.source, self.vectors_NS, members, longest, self.device)

    def validate(self) -> dict[str, float]:
        """Mean validation loss, and `signs_of_collapse`."""
        self.model.eval()
        blocks = [self.validation_clips[first : first + 256] for first in range(0, len(self.validation_clips), 256)]
        with inference(self.device, "fp32"):
            own = [self.loss(*self._batch(block)) for block in blocks[self.group.rank :: self.group.size]]
        parts = self.group.gathered([(float(total), int(count), visual_BE.cpu()) for total, count, visual_BE in own])
        total, count = sum(part[0] for part in parts), sum(part[1] for part in parts)
        return {"validation_loss": total / max(count, 1)} | signs_of_collapse(torch.cat([part[2] for part in parts]))

    def fit(self, on_progress: Progress | None) -> None:
        """Train to the end: the last epoch, or `patience` epochs without a better validation loss."""
        state, steps_done, begun = self.state, 0, time.perf_counter()

        def note(line: dict[str, Any]) -> None:
            state.history.append(line)
            if not self.group.rank:
                self.run.log(line)
                if on_progress:
                    on_progress(line)

        with torch.random.fork_rng():
            while state.epoch < self.config.epochs and state.bad_epochs < self.config.patience:
                batches = self.batches()
                loss, triplets, since = state.epoch_loss, state.epoch_triplets, time.perf_counter()
                for members in batches[state.step_in_epoch :]:
                    self.step(members)
                    step, steps_done = state.step_in_epoch, steps_done + 1
                    if step % STEPS_PER_LINE == 0 or step == len(batches):
                        now, count = time.perf_counter(), state.epoch_triplets - triplets
                        steps_left = len(batches) * (self.config.epochs - state.epoch) - step
                        note({
                            "kind": "steps", "epoch": state.epoch + 1, "step": step, "steps": len(batches),
                            "loss": (state.epoch_loss - loss) / max(count, 1), "triplets_per_s": count / (now - since),
                            "eta_s": steps_left * (now - begun) / steps_done,
                        })  # fmt: skip
                        loss, triplets, since = state.epoch_loss, state.epoch_triplets, time.perf_counter()
                    if step % STEPS_PER_STATE == 0:
                        self._save_state()
                figures, train_loss = self.validate(), state.epoch_loss / max(state.epoch_triplets, 1)
                state.epoch, state.bad_epochs = state.epoch + 1, state.bad_epochs + 1
                state.step_in_epoch, state.epoch_loss, state.epoch_triplets = 0, 0.0, 0
                if better := figures["validation_loss"] < state.best_loss:
                    state.best_loss, state.best_epoch, state.bad_epochs = figures["validation_loss"], state.epoch, 0
                    state.best_state = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
                note({"kind": "epoch", "epoch": state.epoch, "train_loss": train_loss, **figures, "best": better})
                self._save_state()
        if not state.best_state:
            raise DivergedError(f"the validation loss is no number after any of {state.epoch} epochs; lower --lr")
        self.model.load_state_dict(state.best_state)
        record = {
            "epochs": state.epoch, "best_epoch": state.best_epoch, "validation_loss": state.best_loss,
            "train_sub_clips": len(self.train_clips), "validation_sub_clips": len(self.validation_clips),
            "precision": self.precision, "triplets": self.triplets.record,
        }  # fmt: skip
        if not self.group.rank:
            self.run.finish(self.model, self.started, record)

    def _save_state(self) -> None:
        if self.group.rank:
            return
        self.state.seconds = time.perf_counter() - self.started
        with replacing(self.run.folder / "state.pt") as temporary:
            parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
            torch.save(vars(self.state) | parts, temporary)

    def _resume(self) -> None:
        """Go back to the last saved state; what happened after it is done again, to the same result."""
        path = self.run.folder / "state.pt"
        if path.exists():
            try:
                self._restore(archives.load_tensors(path))
            except Exception as error:  # damage shows itself in many ways
                reason = str(error).splitlines()[:1]
                raise FormatError(f"{path} cannot be read {reason}; delete it to start this run afresh") from error
        if not self.group.rank:
            write_text(
                self.run.folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in self.state.history)
            )

    def _restore(self, kept: Mapping[str, Any]) -> None:
        """Take over what `_save_state` wrote. Raises errors of many kinds for anything else."""
        fresh = vars(self.state)
        state = {name: kept[name] for name in fresh}
        counts = [value for value in state.values() if type(value) is int]
        if [*map(type, state.values())] != [*map(type, fresh.values())] or not 0 <= min(counts) <= max(
            counts
        ) < 1 << 53:
            raise ValueError("its figures are none of a training")
        if (
            not math.isfinite(state["epoch_loss"])
            or not math.isfinite(state["seconds"])
            or math.isnan(state["best_loss"])
        ):
            raise ValueError("its figures are no numbers")
        json.dumps([line | {} for line in state["history"]])
        for weights in filter(None, (state["best_state"], kept["model"])):
            self.model.load_state_dict(weights)
        groups = self.optimiser.state_dict()["param_groups"]  # as the run's settings say
        self.optimiser.load_state_dict({"state": kept["optimiser"]["state"], "param_groups": groups})
        held = [
            (self.optimiser.state[one], one.shape) for one in self.model.parameters() if one in self.optimiser.state
        ]
        shapes = [({name: value.shape for name, value in its.items()}, shape) for its, shape in held]
        if len(held) != len(self.optimiser.state) or any(
            its != {"step": (), "exp_avg": shape, "exp_avg_sq": shape} for its, shape in shapes
        ):
            raise ValueError("its optimiser is of other weights")
        tensors = [*self.model.state_dict().values(), *(value for its, _ in held for value in its.values())]
        if not all(torch.isfinite(value).all() for value in tensors):
            raise ValueError("its weights are no numbers")
        if any((its[name] < 0).any() for its, _ in held for name in ("step", "exp_avg_sq")):
            raise ValueError("its optimiser counts below 0")
        self.state = SimpleNamespace(**state)
