"""Projection: clips and class descriptions of one space in the plane, by t-SNE, fitted together.

t-SNE keeps neighbourhoods, not distances: clusters mean something, the gaps between them and their sizes do not
(van der Maaten and Hinton, JMLR 9, 2008). The distances themselves are in `cezsar.analysis.gap`.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
import numpy.typing as npt

from cezsar.analysis.gap import directions
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.storage import read_arrays, write_arrays

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
OnProgress = Callable[[int, int], None]

KEPT_WHOLE = 1024
"""Dimensions up to which vectors are taken as they are: sentence vectors and joint embeddings all are."""

REDUCED = 50
"""Principal components that stand for wider vectors, such as raw frame features: standard practice before t-SNE."""

FEWEST_POINTS = 5
"""Below this, t-SNE has no neighbourhoods to keep; principal components place the points."""

FEWEST_ITERATIONS = 250  # t-SNE's first stage; scikit-learn accepts no fewer

SMALL = 1e-6  # coordinates of unit vectors nearer than this are the same; also keeps weights finite

_ITERATION = re.compile(r"\[t-SNE\] Iteration (\d+): error")
_one_at_a_time = threading.Lock()  # standard output and thread limits belong to the whole process


@dataclass(frozen=True, eq=False)
class Projection:
    """One space: positions in the plane. The axes have no meaning and no unit.

    Attributes:
        space: its name, such as "joint".
        videos_N2: (N, 2) float32, in the order of `rows_N`.
        prototypes_P2: (P, 2) float32; P is 0 where the space has no sentences.
        rows_N: indices of the clips that were sampled.
        perplexity: about how many neighbours a point looks at: as asked for, or less where the number of points allows
            no more. 0 where there were too few points for t-SNE, or all were the same.
        seed: of the initialisation.
        kl: Kullback-Leibler divergence at the end: what t-SNE minimises. Comparable between seeds, not between spaces.
        reduced_to: principal components that t-SNE was given; None where it was given the vectors themselves.
    """

    space: str
    videos_N2: FloatArray
    prototypes_P2: FloatArray
    rows_N: IntArray
    perplexity: float
    seed: int
    kl: float
    reduced_to: int | None = None


def sample_rows(label_index_N: npt.ArrayLike, most: int, rng: np.random.Generator) -> IntArray:
    """At most `most` clips, as evenly over classes as can be, ascending; a class with few gives all it has.

    Args:
        label_index_N: class of each clip; clips of unknown class (-1) are one more class.
        most: number of clips, at least 1.

    Raises:
        InputError: `most` below 1.
    """
    if most < 1:
        raise InputError(f"{most} clips were asked for; ask for at least 1")
    labels_N = np.asarray(label_index_N, np.int64)
    members = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    available = np.array([len(rows) for rows in members], np.int64)
    taken = np.zeros_like(available)
    left = min(most, len(labels_N))
    while left:
        open_ = np.flatnonzero(taken < available)
        if left < len(open_):  # the last few go to classes drawn at random
            open_ = rng.choice(open_, left, replace=False)
        share = np.minimum(available[open_] - taken[open_], max(1, left // len(open_)))
        taken[open_] += share
        left -= int(share.sum())
    chosen = [rng.choice(rows, count, replace=False) for rows, count in zip(members, taken, strict=True)]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))


def project(
    space: str,
    videos_NE: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    rows_N: npt.ArrayLike,
    *,
    perplexity: float = 30.0,
    seed: int = 0,
    iterations: int = 1000,
    on_progress: OnProgress | None = None,
) -> Projection:
    """Clips and prototypes in one plane, fitted together.

    Vectors are scaled to length 1, so that Euclidean distance orders them as cosine similarity does; a zero vector
    stays at the origin, at distance 1 from all others. Vectors of more than `KEPT_WHOLE` dimensions are first reduced
    to their `REDUCED` principal components. Fewer than `FEWEST_POINTS` points lie on their principal components;
    points that are all the same lie on the origin. The same input and seed give the same result on one machine. A
    process makes one projection at a time; a second caller waits.

    Args:
        videos_NE: embeddings of all clips.
        prototypes_PE: embeddings of the class descriptions; None, or no rows, where the space has no sentences.
        rows_N: the clips to place, as `sample_rows` draws them.
        perplexity: above 0; lowered to a third of the number of other points where it is more.
        iterations: at least 250; t-SNE may end earlier when nothing changes any more.
        on_progress: called with (iterations done, iterations), about every 50, and once at the end. What it raises
            ends the fit and reaches the caller.

    Raises:
        InputError: rows that do not exist, parts of different width, NaN, or a setting out of its range.
    """
    if not (np.isfinite(perplexity) and perplexity > 0) or iterations < FEWEST_ITERATIONS or not 0 <= seed < 2**32:
        raise InputError(
            f"perplexity {perplexity}, {iterations} iterations, seed {seed}: the perplexity must be above 0, the "
            f"iterations at least {FEWEST_ITERATIONS}, the seed from 0 to 4,294,967,295"
        )
    videos, rows = np.asarray(videos_NE), np.asarray(rows_N, np.int64)
    if videos.ndim != 2 or rows.ndim != 1 or (rows.size and not 0 <= rows.min() <= rows.max() < len(videos)):
        raise InputError(f"the rows to place are not all among the clips, which have shape {videos.shape}")
    units_ME = directions(videos[rows], f"clips of space {space!r}")
    if prototypes_PE is not None and np.size(prototypes_PE):
        prototypes = directions(prototypes_PE, f"prototypes of space {space!r}")
        if prototypes.shape[1] != videos.shape[1]:
            raise InputError(
                f"space {space!r}: clips have {videos.shape[1]} dimensions and prototypes {prototypes.shape[1]}; "
                "take them from one space"
            )
        units_ME = np.concatenate([units_ME, prototypes])
    with _one_at_a_time, _one_thread():
        points_MD, reduced_to = _reduced(units_ME, seed)
        if len(points_MD) < FEWEST_POINTS or np.ptp(points_MD, axis=0).max(initial=0) < SMALL:
            positions_M2, perplexity, kl = _principal(points_MD), 0.0, 0.0
            if on_progress:
                on_progress(iterations, iterations)
        else:
            perplexity = min(float(perplexity), (len(points_MD) - 1) / 3)
            positions_M2, kl = _tsne(points_MD, perplexity, seed, iterations, on_progress)
    n = len(rows)
    return Projection(space, positions_M2[:n], positions_M2[n:], rows, perplexity, seed, kl, reduced_to)


def place(clip_E: npt.ArrayLike, videos_NE: npt.ArrayLike, positions_N2: npt.ArrayLike, k: int = 5) -> FloatArray:
    """(2,) about where a further clip would lie: an approximation, since t-SNE has no map for new points.

    It is the mean position of the k clips nearest by cosine, each weighted with the inverse of its cosine distance, so
    that a clip that was placed before is put where it lies. A zero vector is put in the middle of all.

    Args:
        clip_E: embedding of the clip, in the space of `videos_NE`.
        videos_NE: embeddings of the clips that were placed: `videos_NE[projection.rows_N]`.
        positions_N2: where they lie: `projection.videos_N2`.

    Raises:
        InputError: no clip was placed, k below 1, NaN, or parts that do not fit together.
    """
    clip, positions = np.asarray(clip_E, np.float32), np.asarray(positions_N2, np.float32)
    units_NE = directions(videos_NE, "clips that were placed")
    if clip.shape != units_NE.shape[1:] or positions.shape != (len(units_NE), 2) or not len(units_NE) or k < 1:
        raise InputError(
            f"a clip of shape {clip.shape}, {units_NE.shape} placed clips and positions of shape {positions.shape} do "
            f"not go together, or k = {k} is below 1"
        )
    unit_E = directions(clip[None], "clips to place")[0]
    if not unit_E.any():
        return positions.mean(axis=0)
    distance_N = np.maximum(1 - units_NE.astype(np.float64) @ unit_E, 0)
    nearest = np.argsort(distance_N, kind="stable")[:k]
    return np.average(positions[nearest], axis=0, weights=1 / (distance_N[nearest] + SMALL)).astype(np.float32)


def save(projections: Sequence[Projection], path: str | Path, about: Mapping[str, Any]) -> None:
    """Write projections to one safetensors file, whole or not at all.

    Args:
        about: what they were made from (JSON-able), such as fingerprints and ids; `load` gives it back.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    described = []
    for number, one in enumerate(projections):
        arrays |= {
            f"{number}.videos": one.videos_N2,
            f"{number}.prototypes": one.prototypes_P2,
            f"{number}.rows": one.rows_N,
        }
        keys = ("space", "perplexity", "seed", "kl", "reduced_to")
        described.append({key: getattr(one, key) for key in keys})
    write_arrays(path, "projections", arrays, {"about": dict(about), "projections": described})


def load(path: str | Path) -> tuple[list[Projection], dict[str, Any]]:
    """What `save` wrote: projections, and what they were made from.

    Raises:
        InputError: there is no such file.
        FormatError: it is damaged, or holds something else.
    """
    arrays, described = read_arrays(path, "projections")
    try:
        projections = [
            Projection(
                videos_N2=_positions(arrays[f"{number}.videos"], len(arrays[f"{number}.rows"])),
                prototypes_P2=_positions(arrays[f"{number}.prototypes"]),
                rows_N=arrays[f"{number}.rows"].astype(np.int64, casting="safe"),
                **one,
            )
            for number, one in enumerate(described["projections"])
        ]
        return projections, dict(described["about"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is damaged ({error}); make it again") from error


def _positions(array: npt.NDArray[Any], n: int | None = None) -> FloatArray:
    if array.ndim != 2 or array.shape[1] != 2 or (n is not None and len(array) != n):
        raise ValueError(f"positions have shape {array.shape}")
    return array.astype(np.float32, casting="same_kind")


def _reduced(units_ME: FloatArray, seed: int) -> tuple[FloatArray, int | None]:
    """Wide vectors as principal components, and how many; others as they are, with at least the two axes of a plane."""
    n, width = units_ME.shape
    if width <= KEPT_WHOLE or n < FEWEST_POINTS:
        return np.pad(units_ME, ((0, 0), (0, max(0, 2 - width)))), None
    from sklearn.decomposition import PCA

    components = min(REDUCED, n - 1)
    if np.ptp(units_ME, axis=0).max() < SMALL:  # all the same: nothing to decompose
        return np.zeros((n, components), np.float32), components
    return PCA(components, random_state=seed).fit_transform(units_ME).astype(np.float32), components


def _principal(points_MD: FloatArray) -> FloatArray:
    """(M, 2) principal components of a few points; the origin for points that are all the same."""
    positions_M2 = np.zeros((len(points_MD), 2), np.float32)
    if len(points_MD) > 1 and np.ptp(points_MD, axis=0).max() >= SMALL:
        centred_MD = points_MD - points_MD.mean(axis=0)
        left_MR, strength_R, _ = np.linalg.svd(centred_MD.astype(np.float64), full_matrices=False)
        left_MR = left_MR * np.where(left_MR[np.abs(left_MR).argmax(axis=0), np.arange(len(strength_R))] < 0, -1, 1)
        positions_M2[:] = (left_MR * strength_R)[:, :2]
    return positions_M2


def _tsne(
    points_MD: FloatArray, perplexity: float, seed: int, iterations: int, on_progress: OnProgress | None
) -> tuple[FloatArray, float]:
    """Positions and their divergence."""
    from sklearn.manifold import TSNE

    tsne = TSNE(
        perplexity=perplexity,
        max_iter=iterations,
        init="pca",
        random_state=seed,
        n_jobs=1,
        verbose=2 if on_progress else 0,
    )
    progress = _Progress(on_progress, iterations, sys.stdout) if on_progress else None
    quietly: AbstractContextManager[Any] = redirect_stdout(cast(TextIO, progress)) if progress else nullcontext()
    with quietly:
        positions_M2 = tsne.fit_transform(points_MD)
    if progress:
        progress.report(iterations)
    return positions_M2.astype(np.float32), float(tsne.kl_divergence_)


def _one_thread() -> AbstractContextManager[Any]:
    """Sums over several threads come in any order, and t-SNE magnifies the difference into another picture."""
    import sklearn.decomposition
    import sklearn.manifold  # noqa: F401 (libraries that are loaded later would not be limited)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return cast(AbstractContextManager[Any], threadpool_limits(1))


class _Progress:
    """Standard output while t-SNE runs: its lines become progress; those of other threads, and of the callback, pass.

    scikit-learn reports iterations in no other way than by printing them.
    """

    def __init__(self, on_progress: OnProgress, iterations: int, stdout: TextIO) -> None:
        self._on_progress, self._iterations, self._stdout = on_progress, iterations, stdout
        self._thread, self._reporting, self._last = threading.get_ident(), False, 0

    def write(self, text: str) -> int:
        if self._reporting or threading.get_ident() != self._thread:
            return self._stdout.write(text)
        if found := _ITERATION.match(text):
            self.report(int(found[1]))
        return len(text)

    def report(self, done: int) -> None:
        if done > self._last:
            self._last, self._reporting = done, True
            try:
                self._on_progress(done, self._iterations)
            finally:
                self._reporting = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)
