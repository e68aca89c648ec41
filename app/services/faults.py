"""Whose fault it is when a class is missed: each class's errors in one space, and the clips behind them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from app import cache
from app.services.semantic_gap import clouds, unit_space
from cezsar.analysis.faults import ClassFault, faults, nearest_centroid
from cezsar.arrays import IntArray
from cezsar.zeroshot.scored import Scored

TEXT, VIDEO, RIGHT = "text", "video", "right"
SIDES = (TEXT, VIDEO, RIGHT)
"""Whose fault a clip's wrong label is, and clips that have the right one."""


@dataclass(frozen=True, eq=False)
class Blame:
    """Faults in one space.

    Attributes:
        space: "joint" or "sentence".
        classes: one for each class, in their order.
        row_N: of each clip among the scores.
        label_N, prototype_N, centroid_N: its class, and those of its nearest prototype and centroid; -1 for none.
    """

    space: str
    classes: list[ClassFault]
    row_N: IntArray
    label_N: IntArray
    prototype_N: IntArray
    centroid_N: IntArray

    @property
    def worst_first(self) -> list[ClassFault]:
        """By error, of equal ones by gap; those that cannot be judged come last."""
        return sorted(
            self.classes, key=lambda one: (one.error is None, -(one.error or 0), -(one.gap.own_distance or 0))
        )

    def clips(self, index: int) -> dict[str, list[int]]:
        """Side -> positions in `row_N` of a class's clips; sides without any are left out."""
        own_N = self.label_N == index
        text_N, video_N = self.prototype_N == index, self.centroid_N == index
        sides = {TEXT: own_N & ~text_N & video_N, VIDEO: own_N & ~text_N & ~video_N, RIGHT: own_N & text_N}
        return {side: np.flatnonzero(clips_N).tolist() for side, clips_N in sides.items() if clips_N.any()}

    def taken_for(self, index: int) -> tuple[int, int] | None:
        """The class whose prototype most of a class's missed clips are nearest to, and how many; None without any."""
        missed_N = (self.label_N == index) & (self.prototype_N != index) & (self.prototype_N >= 0)
        return next(iter(Counter(self.prototype_N[missed_N].tolist()).most_common(1)), None)

    def looks_like(self, index: int) -> tuple[int, int] | None:
        """The other class whose centroid most of a class's clips are nearest to, and how many; None without any."""
        astray_N = (self.label_N == index) & (self.centroid_N != index) & (self.centroid_N >= 0)
        return next(iter(Counter(self.centroid_N[astray_N].tolist()).most_common(1)), None)


def spaces(item: Scored) -> list[str]:
    """Those in which descriptions have a place, in the order of the way."""
    return [space for space, cloud in clouds(item)[1].items() if len(cloud.prototypes_PE)]


def blame(item: Scored, space: str) -> Blame:
    """Whose fault it is, over all clips of the space."""

    def blamed() -> Blame:
        one = unit_space(item, space)
        return Blame(space, faults(one), clouds(item)[0], one.labels_N, one.nearest, nearest_centroid(one))

    return cache.once(blamed, "blame", item.fingerprint, space, words="Looking whose fault it is")
