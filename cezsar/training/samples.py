"""Triplets as batches: sub-clips with their features and sentence vectors, on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cezsar.data.features import FeatureStore
from cezsar.errors import InputError
from cezsar.model import CEZSAR, stack
from cezsar.training.triplets import Triplets


@dataclass(frozen=True)
class Batch:
    """One step: B clips and, for each, P positives with n negatives; `valid` marks the triplets that exist."""

    features_BTD: Tensor
    lengths_B: Tensor
    positives_BPS: Tensor
    negatives_BPnS: Tensor
    valid_BPn: Tensor


class Samples:
    """Sub-clips, features and sentence vectors as batches."""

    def __init__(self, triplets: Triplets, store: FeatureStore, model: CEZSAR) -> None:
        self.triplets = triplets
        self.max_seconds = model.padded_seconds or model.config.max_seconds
        self.vectors_NS = torch.from_numpy(triplets.vectors_NS)
        self._store = store

    def features(self, sub_clip: int) -> Tensor:
        """(T, D) float32 features of one sub-clip, read from the store each time: stores may be larger than memory."""
        video = self.triplets.video_ids[self.triplets.video_M[sub_clip]]
        return torch.from_numpy(self._store.rows(video, *self.triplets.rows_M2[sub_clip].tolist()))

    def clips(self, sub_clips: npt.NDArray[np.int64], device: torch.device) -> Batch:
        """A batch of sub-clips, each with all its triplets."""
        positives_BP = self.triplets.positives_MP[sub_clips]
        negatives_BPn = self.triplets.negatives_MPn[sub_clips]
        return self._batch(sub_clips, positives_BP, negatives_BPn, device)

    def triples(self, members: npt.NDArray[np.int64], device: torch.device) -> Batch:
        """A batch of single triplets, `members` (B, 3): sub-clip, positive column, negative column."""
        clips, column, rank = members.T
        positives_B1 = self.triplets.positives_MP[clips, column][:, None]
        negatives_B11 = self.triplets.negatives_MPn[clips, column, rank][:, None, None]
        return self._batch(clips, positives_B1, negatives_B11, device)

    def _batch(
        self,
        clips: npt.NDArray[np.int64],
        positives_BP: npt.NDArray[np.int32],
        negatives_BPn: npt.NDArray[np.int32],
        device: torch.device,
    ) -> Batch:
        features_BTD, lengths_B = stack([self.features(int(clip)) for clip in clips], self.max_seconds)
        valid_BPn = torch.from_numpy((negatives_BPn >= 0) & (positives_BP >= 0)[..., None])
        positives_BPS = self.vectors_NS[torch.from_numpy(positives_BP.clip(0).astype(np.int64))]
        negatives_BPnS = self.vectors_NS[torch.from_numpy(negatives_BPn.clip(0).astype(np.int64))]
        parts = (features_BTD, lengths_B, positives_BPS, negatives_BPnS, valid_BPn)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))


def split_by_video(triplets: Triplets, share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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
