"""Maps of a scored data set: its clips and class prototypes in the plane by t-SNE, space by space, fitted together.

t-SNE keeps neighbourhoods, not distances: clusters mean something, the gaps between them and their sizes do not
(van der Maaten and Hinton, JMLR 9, 2008). The distances themselves are in `cezsar.analysis.gap`. All spaces of a map
show the same clips, so that one clip can be followed from raw features to the joint space.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cezsar import workspace
from cezsar.analysis.gap import directions
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.labels import resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.scored import Cloud, Scored
from cezsar.zeroshot.storage import read_arrays, write_arrays

KEPT_WHOLE = 1024
"""Dimensions up to which vectors are taken as they are: sentence vectors and joint embeddings all are."""

REDUCED = 50
"""Principal components that stand for wider vectors, such as raw frame features: standard practice before t-SNE."""

FEWEST_POINTS = 5
"""Below this, t-SNE has no neighbourhoods to keep; principal components place the points."""

SMALL = 1e-6  # coordinates of unit vectors nearer than this are the same; also keeps weights finite


@dataclass(frozen=True)
class MapSettings:
    """What a map depends on besides its data.

    Attributes:
        perplexity: about how many neighbours a point looks at, above 0; lowered to a third of the number of other
            points where it is more.
        seed: of the choice of clips and of t-SNE.
        sample: clips at the most, as evenly over classes as can be.
        classes: fitted without all others; empty: all classes together.

    Raises:
        InputError: a setting out of its range.
    """

    perplexity: float = 30.0
    seed: int = 0
    sample: int = 3000
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.perplexity < math.inf and 0 <= self.seed < 2**32 and self.sample >= 1):
            raise InputError(
                f"perplexity {self.perplexity}, seed {self.seed}, {self.sample} clips: the perplexity must be above 0, "
                "the seed from 0 to 4,294,967,295, the clips at least 1"
            )

    def file_name(self, fingerprint: str) -> str:
        """Of the map of the scored data set that has this fingerprint. The order of `classes` does not matter."""
        part = ""
        if self.classes:
            part = "-" + hashlib.sha256("\n".join(sorted(self.classes)).encode()).hexdigest()[:12]
        return f"{fingerprint[:16]}-p{self.perplexity:g}-s{self.seed}-n{self.sample}{part}.safetensors"


@dataclass(frozen=True, eq=False)
class Projection:
    """Positions in the plane of one space: (N, 2) of clips and (P, 2) of prototypes. The axes have no meaning."""

    videos_N2: FloatArray
    prototypes_P2: FloatArray


@dataclass(frozen=True, eq=False)
class Map:
    """One projection a space.

    Attributes:
        rows_N: the clips shown, counted in `Scored.clouds`; the same in all spaces.
        projections: of "raw", "sentence" and "joint", as far as there are such. Where a space has no sentences,
            `prototypes_P2` are the mean clips of classes.
        star_class: space -> (P,) class index of each row of `prototypes_P2`.
        means: the spaces whose stars are mean clips.
    """

    rows_N: IntArray
    projections: dict[str, Projection]
    star_class: dict[str, IntArray]
    means: frozenset[str]


def folder(home: str | Path | None = None) -> Path:
    """Where maps are kept in the workspace."""
    return workspace.folder("cache", home) / "projections"


def draw(item: Scored, settings: MapSettings, on_progress: Callable[[int, int, str], object] | None = None) -> Map:
    """Project every space of a scored data set, seconds to a minute.

    Args:
        on_progress: called with (spaces done, all of them, the one that is next).

    Raises:
        InputError: an unknown class, classes without clips, or no clouds.
        FormatError: the scored data set is damaged.
    """
    if not item.has_clouds:
        raise InputError(f"{item.folder} was kept without its clouds of points; score the data set again")
    cloud_rows, clouds = item.clouds()
    scores, owner_P = item.scores(), item.embeddings().prototype_class
    labels_N = scores.label_index[cloud_rows]
    names = resolve(settings.classes or scores.class_names, scores.class_names)
    classes = np.array(sorted({scores.class_names.index(name) for name in names}), np.int64)
    available = np.flatnonzero(np.isin(labels_N, classes)) if settings.classes else np.arange(len(labels_N))
    if not available.size:
        raise InputError(f"there is no clip of {', '.join(names[:3])}; choose other classes")
    rows_N = available[sample_rows(labels_N[available], settings.sample, np.random.default_rng(settings.seed))]
    projections, star_class = {}, {}
    for done, (space, cloud) in enumerate(clouds.items()):
        if on_progress:
            on_progress(done, len(clouds), space)
        units_NE = directions(cloud.videos_NE[rows_N], f"clips of space {space!r}")
        stars_PE, star_class[space] = _stars(cloud, units_NE, labels_N[rows_N], owner_P, classes)
        points_M2 = project(np.concatenate([units_NE, stars_PE]), settings.perplexity, settings.seed)
        projections[space] = Projection(points_M2[: len(rows_N)], points_M2[len(rows_N) :])
    if on_progress:
        on_progress(len(clouds), len(clouds), "")
    means = frozenset(name for name, cloud in clouds.items() if not len(cloud.prototypes_PE))
    return Map(rows_N, projections, star_class, means)


def _stars(
    cloud: Cloud, units_NE: FloatArray, labels_N: IntArray, owner_P: IntArray, classes: IntArray
) -> tuple[FloatArray, IntArray]:
    """The classes' prototypes, else their mean clips, as directions, and the class of each."""
    if len(cloud.prototypes_PE):
        wanted_P = np.isin(owner_P, classes)
        return directions(cloud.prototypes_PE[wanted_P], "prototypes"), owner_P[wanted_P]
    present = np.intersect1d(classes, labels_N)
    means = [units_NE[labels_N == index].mean(axis=0) for index in present]
    return directions(np.reshape(means, (len(present), units_NE.shape[1])), "mean clips"), present


def sample_rows(label_index_N: npt.ArrayLike, most: int, rng: np.random.Generator) -> IntArray:
    """At most `most` clips, as evenly over classes as can be, ascending; a class with few gives all it has.

    Args:
        label_index_N: class of each clip; clips of unknown class (-1) are one more class.
    """
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


def project(units_ME: FloatArray, perplexity: float = 30.0, seed: int = 0, iterations: int = 1000) -> FloatArray:
    """(M, 2) positions in the plane of M vectors of length 1, or 0.

    Euclidean distance orders unit vectors as cosine similarity does; a zero vector is at distance 1 from all others.
    Vectors of more than `KEPT_WHOLE` dimensions are first reduced to their `REDUCED` principal components. Fewer than
    `FEWEST_POINTS` points lie on their principal components; points that are all the same lie on the origin. The same
    input and seed give the same result on one machine.
    """
    import sklearn.decomposition
    import sklearn.manifold

    n, width = units_ME.shape
    if not n or np.ptp(units_ME, axis=0).max(initial=0) < SMALL:
        return np.zeros((n, 2), np.float32)
    with _one_thread():
        if n < FEWEST_POINTS or width < 2:
            components = min(2, n, width)
            placed_M2 = sklearn.decomposition.PCA(components, svd_solver="full").fit_transform(units_ME)
            return np.pad(placed_M2, ((0, 0), (0, 2 - components))).astype(np.float32)
        points_MD = units_ME
        if width > KEPT_WHOLE:
            points_MD = sklearn.decomposition.PCA(min(REDUCED, n - 1), random_state=seed).fit_transform(units_ME)
        tsne = sklearn.manifold.TSNE(
            perplexity=min(perplexity, (n - 1) / 3), max_iter=iterations, init="pca", random_state=seed, n_jobs=1
        )
        return np.asarray(tsne.fit_transform(points_MD.astype(np.float32)), np.float32)


def _one_thread() -> AbstractContextManager[Any]:
    """Sums over several threads come in any order, and t-SNE magnifies the difference into another picture."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return cast(AbstractContextManager[Any], threadpool_limits(1))


def place(clip_E: npt.ArrayLike, videos_NE: npt.ArrayLike, positions_N2: npt.ArrayLike, k: int = 5) -> FloatArray:
    """(2,) about where a further clip would lie: an approximation, since t-SNE has no map for new points.

    It is the mean position of the k clips nearest by cosine, each weighted with the inverse of its cosine distance, so
    that a clip that was placed before is put where it lies. A zero vector is put in the middle of all.

    Args:
        clip_E: embedding of the clip, in the space of `videos_NE`.
        videos_NE: embeddings of the clips that were placed, and
        positions_N2: where they lie.

    Raises:
        InputError: the clip is of another width, or NaN.
    """
    clip, positions = np.asarray(clip_E, np.float32), np.asarray(positions_N2, np.float32)
    units_NE = directions(videos_NE, "clips that were placed")
    if clip.shape != units_NE.shape[1:]:
        raise InputError(f"a clip of shape {clip.shape} does not go with placed clips of shape {units_NE.shape}")
    unit_E = directions(clip[None], "clips to place")[0]
    if not unit_E.any():
        return positions.mean(axis=0)
    distance_N = np.maximum(1 - units_NE.astype(np.float64) @ unit_E, 0)
    nearest = np.argsort(distance_N, kind="stable")[:k]
    return np.average(positions[nearest], axis=0, weights=1 / (distance_N[nearest] + SMALL)).astype(np.float32)


# Files ------------------------------------------------------------------------------------------------------------


def keep(
    item: Scored, settings: MapSettings, path: str | Path, on_progress: Callable[[int, int, str], object] | None = None
) -> Path:
    """Draw a map and write it to `path`, which is returned. Errors as in `draw`."""
    drawn = draw(item, settings, on_progress)
    about = {
        "scored": item.fingerprint,
        "settings": asdict(settings),
        "star_class": {space: owner_P.tolist() for space, owner_P in drawn.star_class.items()},
        "means": sorted(drawn.means),
    }
    arrays: dict[str, npt.NDArray[Any]] = {}
    for place_of, one in enumerate(drawn.projections.values()):
        arrays |= {f"{place_of}.videos": one.videos_N2, f"{place_of}.prototypes": one.prototypes_P2}
        arrays[f"{place_of}.rows"] = drawn.rows_N
    spaces = [{"space": space} for space in drawn.projections]
    write_arrays(path, "projections", arrays, {"about": about, "projections": spaces})
    return Path(path)


def read(path: str | Path) -> Map:
    """What `keep` wrote.

    Raises:
        InputError: there is no such file.
        FormatError: it is damaged, or holds something else.
    """
    arrays, described = read_arrays(path, "projections")
    try:
        about, spaces = described["about"], [one["space"] for one in described["projections"]]
        rows_N = arrays["0.rows"].astype(np.int64, casting="safe")
        star_class = {space: np.array(about["star_class"][space], np.int64) for space in spaces}
        projections = {
            space: Projection(
                _positions(arrays[f"{n}.videos"], len(rows_N)),
                _positions(arrays[f"{n}.prototypes"], len(star_class[space])),
            )
            for n, space in enumerate(spaces)
        }
        return Map(rows_N, projections, star_class, frozenset(about["means"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is damaged ({error}); make it again") from error


def _positions(array: npt.NDArray[Any], n: int) -> FloatArray:
    if array.shape != (n, 2):
        raise ValueError(f"positions have shape {array.shape}")
    return array.astype(np.float32, casting="same_kind")
