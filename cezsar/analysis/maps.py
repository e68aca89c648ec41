"""Maps of a scored data set: clips and class prototypes in the plane by t-SNE, space by space, all of the same clips.
t-SNE keeps neighbourhoods, not distances (van der Maaten and Hinton, JMLR 9, 2008); these are in `analysis.gap`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar import workspace
from cezsar.analysis.gap import directions
from cezsar.arrays import FloatArray, IntArray
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Array, read_arrays, write_arrays

KEPT_WHOLE = 1024  # dimensions up to which vectors stay as they are: sentence vectors and joint embeddings all do
REDUCED = 50  # principal components that stand for wider vectors, such as raw frame features: usual before t-SNE
FEWEST_POINTS = 5  # below, t-SNE has no neighbourhoods to keep; principal components place the points
Progress = Callable[[int, int, str], object]  # hears how many spaces are done, of how many, and the one that is next
SMALL = 1e-6  # coordinates of unit vectors nearer than this are the same; also keeps weights finite


@dataclass(frozen=True)
class MapSettings:
    """What a map depends on besides its data."""

    perplexity: float = 30.0  # about how many neighbours a point looks at; at most a third of the other points
    seed: int = 0  # of the choice of clips and of t-SNE
    sample: int = 3000  # clips at the most, as evenly over classes as can be
    classes: tuple[str, ...] = ()  # fitted without all others; empty: all classes together

    def __post_init__(self) -> None:
        if not (0 < self.perplexity < math.inf and 0 <= self.seed < 2**32 and self.sample >= 1):
            raise InputError(
                f"perplexity {self.perplexity}, seed {self.seed}, {self.sample} clips: the perplexity must be above 0, "
                "the seed from 0 to 4,294,967,295, the clips at least 1"
            )

    def file_name(self, fingerprint: str) -> str:
        """Of the map of the scored data set that has this fingerprint. The order of `classes` does not matter."""
        chosen = hashlib.sha256("\n".join(sorted(self.classes)).encode()).hexdigest()[:12]
        part = f"-{chosen}" if self.classes else ""
        return f"{fingerprint[:16]}-p{self.perplexity:g}-s{self.seed}-n{self.sample}{part}.safetensors"


class Projection(NamedTuple):
    """Positions in the plane of one space; the axes have no meaning."""

    videos_N2: FloatArray
    stars_P2: FloatArray  # of prototypes
    star_class_P: IntArray
    means: bool  # stars are mean clips of classes, since the space has no sentences


class Map(NamedTuple):
    """The same clips in every space."""

    rows_N: IntArray  # counted in `Scored.clouds`
    projections: dict[str, Projection]  # "raw", "sentence" and "joint", as far as there are such


def folder(home: str | Path | None = None) -> Path:
    """Where maps are kept in the workspace."""
    return workspace.folder("cache", home) / "projections"


def draw(item: Scored, settings: MapSettings, on_progress: Progress = lambda done, total, space: None) -> Map:
    """Project every space of a scored data set. Raises `InputError`: an unknown class, one without clips, no clouds."""
    if not item.has_clouds:
        raise InputError(f"{item.folder} was kept without its clouds of points; score the data set again")
    cloud_rows, clouds = item.clouds()
    scores, owner_P = item.scores(), item.embeddings().prototype_class
    labels_N = scores.label_index[cloud_rows]
    classes = np.unique(scores.indices(settings.classes or None))
    available = np.flatnonzero(np.isin(labels_N, classes)) if settings.classes else np.arange(len(labels_N))
    if not available.size:
        raise InputError(f"there is no clip of {', '.join(settings.classes[:3])}; choose other classes")
    rows_N = available[sample_rows(labels_N[available], settings.sample, np.random.default_rng(settings.seed))]
    projections = {}
    for done, (space, cloud) in enumerate(clouds.items()):
        on_progress(done, len(clouds), space)
        units_NE = directions(cloud.videos_NE[rows_N], f"clips of space {space!r}")
        if means := not len(cloud.prototypes_PE):
            star_class_P = np.intersect1d(classes, labels_N[rows_N])
            found = [units_NE[labels_N[rows_N] == index].mean(axis=0) for index in star_class_P]
            stars_PE = np.reshape(found, (len(found), units_NE.shape[1]))
        else:
            star_class_P = owner_P[np.isin(owner_P, classes)]
            stars_PE = cloud.prototypes_PE[np.isin(owner_P, classes)]
        points_M2 = project(np.vstack([units_NE, directions(stars_PE, "stars")]), settings.perplexity, settings.seed)
        projections[space] = Projection(points_M2[: len(rows_N)], points_M2[len(rows_N) :], star_class_P, means)
    on_progress(len(clouds), len(clouds), "")
    return Map(rows_N, projections)


def sample_rows(label_index_N: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    """At most `most` clips, as evenly over classes as can be, ascending; those of unknown class (-1) are one more."""
    import pandas as pd

    shuffled = rng.permutation(len(label_index_N))
    labels = pd.Series(label_index_N[shuffled])
    place_N = labels.groupby(labels).cumcount().to_numpy()  # all classes' first clips, then all second ones, ...
    return np.sort(shuffled[np.argsort(place_N, kind="stable")[:most]])


def project(units_ME: FloatArray, perplexity: float = 30.0, seed: int = 0, iterations: int = 1000) -> FloatArray:
    """(M, 2) positions in the plane of M vectors of length 1, or 0; on one machine a seed gives the same ones. Points
    that are all the same lie on the origin."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    n, width = units_ME.shape
    if not n or np.ptp(units_ME, axis=0).max(initial=0) < SMALL:
        return np.zeros((n, 2), np.float32)
    # Sums over several threads come in any order, and t-SNE magnifies the difference into another picture.
    with threadpool_limits(1):
        if n < FEWEST_POINTS or width < 2:
            components = min(2, n, width)
            placed_M2 = PCA(components, svd_solver="full").fit_transform(units_ME)
            return np.pad(placed_M2, ((0, 0), (0, 2 - components))).astype(np.float32)
        if width > KEPT_WHOLE:
            units_ME = PCA(min(REDUCED, n - 1), random_state=seed).fit_transform(units_ME)
        perplexity = min(perplexity, (n - 1) / 3)
        tsne = TSNE(perplexity=perplexity, max_iter=iterations, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(tsne.fit_transform(units_ME.astype(np.float32)), np.float32)


def place(clip_E: npt.ArrayLike, videos_NE: npt.ArrayLike, positions_N2: npt.ArrayLike, k: int = 5) -> FloatArray:
    """(2,) about where a further clip would lie; as `places`."""
    return places(np.asarray(clip_E, np.float32)[None], videos_NE, positions_N2, k)[0]


def places(points_ME: npt.ArrayLike, videos_NE: npt.ArrayLike, positions_N2: npt.ArrayLike, k: int = 5) -> FloatArray:
    """(M, 2) about where further points would lie: the mean position of the k placed clips nearest by cosine, by
    inverse distance; a zero vector is put in the middle. Raises `InputError` for points of another width, or NaN."""
    points, positions = np.asarray(points_ME, np.float32), np.asarray(positions_N2, np.float32)
    units_NE = directions(videos_NE, "clips that were placed")
    if points.ndim != 2 or points.shape[1:] != units_NE.shape[1:]:
        raise InputError(f"a clip of shape {points.shape[1:]} does not go with placed clips of shape {units_NE.shape}")
    found_M2, units_NE = np.empty((len(points), 2), np.float32), units_NE.astype(np.float64)
    for number, unit_E in enumerate(directions(points, "clips to place")):
        distance_N = np.maximum(1 - units_NE @ unit_E, 0)
        nearest = np.argsort(distance_N, kind="stable")[: k if unit_E.any() else None]
        weights = 1 / (distance_N[nearest] + SMALL)  # all alike for a zero vector
        found_M2[number] = np.average(positions[nearest], axis=0, weights=weights)
    return found_M2


def keep(
    item: Scored, settings: MapSettings, path: str | Path, on_progress: Progress = lambda done, total, space: None
) -> Path:
    """Draw a map and write it to `path`, which is returned."""
    drawn = draw(item, settings, on_progress)
    spaces, arrays = drawn.projections, dict[str, Array]()
    for n, one in enumerate(spaces.values()):
        arrays |= {f"{n}.videos": one.videos_N2, f"{n}.prototypes": one.stars_P2, f"{n}.rows": drawn.rows_N}
    about = {"scored": item.fingerprint, "settings": asdict(settings)}
    about["star_class"] = {space: one.star_class_P.tolist() for space, one in spaces.items()}
    about["means"] = sorted(space for space, one in spaces.items() if one.means)
    write_arrays(path, "projections", arrays, {"about": about, "projections": [{"space": space} for space in spaces]})
    return Path(path)


def read(path: str | Path) -> Map:
    """What `keep` wrote. Raises `InputError` where there is no such file, `FormatError` where it is damaged."""
    arrays, described = read_arrays(path, "projections")
    try:
        about, spaces = described["about"], [one["space"] for one in described["projections"]]
        rows_N = arrays["0.rows"].astype(np.int64)
        projections = {}
        for n, space in enumerate(spaces):
            star_class_P = np.array(about["star_class"][space], np.int64)
            videos_N2 = arrays[f"{n}.videos"].astype(np.float32).reshape(len(rows_N), 2)
            stars_P2 = arrays[f"{n}.prototypes"].astype(np.float32).reshape(len(star_class_P), 2)
            projections[space] = Projection(videos_N2, stars_P2, star_class_P, space in about["means"])
        return Map(rows_N, projections)
    except DAMAGED as error:
        raise FormatError(f"{path} is damaged ({error}); make it again") from error
