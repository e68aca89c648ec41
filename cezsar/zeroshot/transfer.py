"""Semantic transfer, after Lin et al. (CVPR 2022): unseen classes get visual prototypes, composed from seen ones.

A seen class has labelled clips, so it has a place among visual embeddings; an unseen class has a text only. How it is
related to the seen classes as text says how to mix their visual prototypes into one for it:

    P_s  = norm(mean of f_v(v) over the clips v of seen class s)
    r_us = cos(f_t(u), f_t(s))
    w_us = softmax over the K seen classes s of highest r_us, of r_us / T;  0 for the others
    P_u  = norm(sum_s w_us P_s)
    score of u for a clip v = λ cos(f_v(v), P_u) + (1 - λ) cos(f_v(v), f_t(u))

K, T and λ are chosen on seen classes that are held out as if they were unseen: `cezsar.zeroshot.held_out`.

That unseen prototypes are composed of seen ones by relatedness is the paper's idea, as its abstract tells it; the
details above are not in it, so this is no reproduction. f_v and f_t may be any: VE and SE of a run, those of the
cross-modal head (`cezsar.training.cross_modal`), or mean features, which have no text side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.scores import Scores, unit_columns


class Setting(NamedTuple):
    """K from 1, T above 0 (infinity: the K nearest count alike), λ in [0, 1] (0: text alone; 1: prototypes alone)."""

    k: int
    temperature: float
    lam: float


# The parts -----------------------------------------------------------------------------------------------------------


def visual_prototypes(clips_NE: FloatArray, class_N: IntArray, n_classes: int) -> DoubleArray:
    """(S, E) P_s: the direction of the mean visual embedding of each class; zeros where the mean is zero.

    Args:
        clips_NE: f_v(v), raw.
        class_N: index of each clip's class, 0 to `n_classes` - 1.

    Raises:
        InputError: a class without clips.
    """
    counts_S = np.bincount(class_N, minlength=n_classes)
    if (counts_S == 0).any():
        raise InputError(f"seen class number {int(counts_S.argmin())} has no clip; label some, or leave it out")
    sums_SE = np.zeros((n_classes, clips_NE.shape[1]))
    np.add.at(sums_SE, class_N, clips_NE)
    return unit_rows(sums_SE / counts_S[:, None])


def relatedness(unseen_US: npt.ArrayLike, seen_CS: npt.ArrayLike) -> DoubleArray:
    """(U, C) r_us: cosine similarities of class texts."""
    return unit_rows(np.asarray(unseen_US, np.float64)) @ unit_rows(np.asarray(seen_CS, np.float64)).T


def transfer_weights(related_US: DoubleArray, k: int, temperature: float) -> DoubleArray:
    """(U, S) w_us: what each unseen class takes of each seen one; rows sum to 1.

    Of equally related seen classes those of lower index are among the K.

    Raises:
        InputError: K below 1, T not above 0, or no seen class.
    """
    check(Setting(k, temperature, 0.0))
    if not related_US.shape[1]:
        raise InputError("there is no seen class to compose prototypes from; label clips of at least one")
    nearest_UK = np.argsort(-related_US, axis=1, kind="stable")[:, :k]
    r_UK = np.take_along_axis(related_US, nearest_UK, axis=1)
    with np.errstate(under="ignore"):
        w_UK = np.exp((r_UK - r_UK[:, :1]) / temperature)  # the first is the highest
        w_UK /= w_UK.sum(axis=1, keepdims=True)
    weights_US = np.zeros_like(related_US, dtype=np.float64)
    np.put_along_axis(weights_US, nearest_UK, w_UK, axis=1)
    return weights_US


def composed_prototypes(weights_US: DoubleArray, prototypes_SE: DoubleArray) -> DoubleArray:
    """(U, E) P_u: the direction of the weighted sum of seen prototypes."""
    return unit_rows(weights_US @ prototypes_SE)


def check(setting: Setting) -> None:
    """Refuse a setting outside its ranges."""
    if not (setting.k >= 1 and setting.temperature > 0 and 0 <= setting.lam <= 1):
        raise InputError(
            f"K = {setting.k}, T = {setting.temperature}, λ = {setting.lam}: K is from 1, T above 0, λ from 0 to 1"
        )


# Transfer ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Transfer:
    """Seen and unseen classes in one space, ready for any setting.

    Attributes:
        seen: labelled clips of seen classes: modality "VE" is f_v, the prototypes are f_t(s). A space without a text
            side has prototypes of zeros; then λ changes nothing, as long as it is not 0.
        unseen: the clips to name, and f_t(u). Their labels are not read.
        related_US: r_us, in the order of both `class_names`; by default from f_t. Sentence vectors will do as well:
            see `relatedness`.

    Raises:
        InputError: a seen class has no clip, a clip of `seen` no class, a class is on both sides, or parts do not go
            together.
    """

    seen: Embeddings
    unseen: Embeddings
    related_US: DoubleArray | None = None

    def __post_init__(self) -> None:
        for side in (self.seen, self.unseen):
            if "VE" not in side.modalities:
                raise InputError("transfer needs visual embeddings (VE) of seen and of unseen clips")
        if self.seen.prototypes.shape[1] != self.unseen.prototypes.shape[1]:
            raise InputError("seen and unseen clips lie in spaces of different width; embed both in one")
        unseen = {canonical(name) for name in self.unseen.class_names}
        for name in self.seen.class_names:
            if canonical(name) in unseen:
                raise InputError(f"class {name!r} is seen and unseen; leave it out of one of them")
        true_N = class_index(self.seen)
        if (true_N < 0).any():
            clip = self.seen.ids[int(true_N.argmin())]
            raise InputError(f"seen clip {clip!r} has a label that is no seen class; transfer needs labelled clips")
        empty = np.setdiff1d(np.arange(len(self.seen.class_names)), true_N)
        if empty.size:
            raise InputError(f"seen class {self.seen.class_names[empty[0]]!r} has no clip; label some, or leave it out")
        given = self.related_US
        related_US = relatedness(texts(self.unseen), texts(self.seen)) if given is None else np.asarray(given, float)
        wanted = len(self.unseen.class_names), len(self.seen.class_names)
        if related_US.shape != wanted or not np.isfinite(related_US).all():
            raise InputError(f"relatedness has shape {related_US.shape} or NaN; {wanted} finite values are expected")
        object.__setattr__(self, "related_US", related_US)

    @cached_property
    def seen_prototypes(self) -> DoubleArray:
        """(S, E) P_s."""
        return visual_prototypes(self.seen.modalities["VE"], class_index(self.seen), len(self.seen.class_names))

    @cached_property
    def clips(self) -> DoubleArray:
        """(N, E) unit f_v of the clips to name."""
        return unit_rows(self.unseen.modalities["VE"].astype(np.float64))

    @cached_property
    def by_text(self) -> DoubleArray:
        """(N, U) cos(f_v(v), f_t(u))."""
        return self.clips @ texts(self.unseen).T

    def prototypes(self, k: int, temperature: float) -> DoubleArray:
        """(U, E) P_u."""
        assert self.related_US is not None
        return composed_prototypes(transfer_weights(self.related_US, k, temperature), self.seen_prototypes)

    def matrix(self, setting: Setting) -> DoubleArray:
        """(N, U) scores, in [-1, 1]; 0 for a clip whose f_v is zero."""
        check(setting)
        by_prototype_NU = self.clips @ self.prototypes(setting.k, setting.temperature).T
        return setting.lam * by_prototype_NU + (1 - setting.lam) * self.by_text

    def scores(self, setting: Setting) -> Scores:
        """The second waypoint: a modality "VE" alone, of clips of length 1, so that `fusion.cosine` is the score."""
        return _scores(self.unseen, self.clips, self.matrix(setting))

    def embeddings(self, k: int, temperature: float) -> Embeddings:
        """The first waypoint for λ = 1, where it is exact: the unseen clips with P_u as prototypes."""
        prototypes_UE = self.prototypes(k, temperature).astype(np.float32)
        visual = {"VE": self.unseen.modalities["VE"]}
        return replace(
            self.unseen, modalities=visual, prototypes=prototypes_UE, prototype_class=np.arange(len(prototypes_UE))
        )


def texts(embeddings: Embeddings) -> DoubleArray:
    """(C, E) unit f_t of each class; of several sentences the direction of the mean of their unit vectors."""
    n_classes = len(embeddings.class_names)
    unit_CE, _, _ = unit_columns(embeddings.prototypes, embeddings.prototype_class, n_classes, "mean")
    return unit_rows(unit_CE.astype(np.float64))


def by_text(embeddings: Embeddings) -> Scores:
    """cos(f_v(v), f_t(u)) as scores of the same kind as `Transfer.scores`: what CEZSAR's VE alone says."""
    clips_NE = unit_rows(embeddings.modalities["VE"].astype(np.float64))
    return _scores(embeddings, clips_NE, clips_NE @ texts(embeddings).T)


def blend(a: Scores, b: Scores, weight: float) -> Scores:
    """`weight` a + (1 - `weight`) b, of the "VE" scores of two methods that range alike, such as two cosines.

    Transfer in the very space of CEZSAR's VE is such a blend already: another weight there is another λ.

    Raises:
        InputError: other clips or classes, or a weight outside [0, 1].
    """
    if a.ids != b.ids or a.class_names != b.class_names:
        raise InputError("the two methods have scored different clips or classes; blend what is about the same")
    if not 0 <= weight <= 1:
        raise InputError(f"the weight of a blend is {weight}; it is a number from 0 to 1")
    matrix_NC = np.float64(weight) * a.matrices["VE"] + np.float64(1 - weight) * b.matrices["VE"]
    return Scores(a.ids, a.labels, a.class_names, {"VE": matrix_NC.astype(np.float32)})


def _scores(embeddings: Embeddings, clips_NE: DoubleArray, matrix_NC: DoubleArray) -> Scores:
    lengths_N11 = np.linalg.norm(clips_NE, axis=1)[:, None, None]  # 1, or 0
    columns = {"VE": matrix_NC.astype(np.float32)}
    return Scores(embeddings.ids, embeddings.labels, embeddings.class_names, columns, lengths_N11)


def class_index(embeddings: Embeddings) -> IntArray:
    """(N,) index of each clip's class; -1 where it is none of the classes."""
    index = {canonical(name): position for position, name in enumerate(embeddings.class_names)}
    return np.array([index.get(canonical(label), -1) if label else -1 for label in embeddings.labels], np.int64)
