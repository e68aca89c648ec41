"""Maps of a scored data set: its clips and class prototypes in the plane, space by space, computed once and kept.

All spaces of a map show the same clips, so that one clip can be followed from raw features to the joint space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cezsar import workspace
from cezsar.analysis.gap import directions
from cezsar.analysis.projection import Projection, load, project, sample_rows, save
from cezsar.data.labels import resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.scored import Cloud, Scored

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What a map depends on besides its data.

    Attributes:
        perplexity: about how many neighbours a point looks at; see `projection.project`.
        seed: of the choice of clips and of t-SNE.
        sample: clips at the most, as evenly over classes as can be.
        classes: fitted without all others; empty: all classes together.
    """

    perplexity: float = 30.0
    seed: int = 0
    sample: int = 3000
    classes: tuple[str, ...] = ()

    def file_name(self, fingerprint: str) -> str:
        """Of the map of the scored data set that has this fingerprint. The order of `classes` does not matter."""
        part = ""
        if self.classes:
            part = "-" + hashlib.sha256("\n".join(sorted(self.classes)).encode()).hexdigest()[:12]
        return f"{fingerprint[:16]}-p{self.perplexity:g}-s{self.seed}-n{self.sample}{part}.safetensors"


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


def draw(item: Scored, settings: Settings, on_progress: OnProgress | None = None) -> Map:
    """Project every space of a scored data set, seconds to a minute.

    Args:
        on_progress: called with (space, iterations done, iterations).

    Raises:
        InputError: an unknown class, classes without clips, no clouds, or a setting out of its range.
        FormatError: the scored data set is damaged.
    """
    if not item.has_clouds:
        raise InputError(f"{item.folder} was kept without its clouds of points; score the data set again")
    cloud_rows, clouds = item.clouds()
    scores, owner_P = item.scores(), item.embeddings().prototype_class
    labels_N = scores.label_index[cloud_rows]
    names = resolve(settings.classes or scores.class_names, scores.class_names)
    classes = np.array(sorted({scores.class_names.index(name) for name in names}), np.int64)
    inside = np.isin(labels_N, classes) if settings.classes else np.ones(len(labels_N), bool)
    available = np.flatnonzero(inside)
    if not available.size:
        raise InputError(f"there is no clip of {', '.join(names[:3])}; choose other classes")
    picked = sample_rows(labels_N[available], settings.sample, np.random.default_rng(settings.seed))
    rows_N = available[picked]
    projections, star_class = {}, {}
    for space, cloud in clouds.items():
        stars_PE, star_class[space] = _stars(cloud, rows_N, labels_N, owner_P, classes)
        projections[space] = project(
            space,
            cloud.videos_NE,
            stars_PE,
            rows_N,
            perplexity=settings.perplexity,
            seed=settings.seed,
            on_progress=None if on_progress is None else _of_space(on_progress, space),
        )
    return Map(rows_N, projections, star_class, frozenset(name for name, cloud in clouds.items() if not _spoken(cloud)))


def keep(
    item: Scored, settings: Settings, path: str | Path | None = None, on_progress: OnProgress | None = None
) -> Path:
    """Draw a map and write it to `path`, by default to where the workspace keeps it; the path. Errors as in `draw`."""
    drawn = draw(item, settings, on_progress)
    target = Path(path) if path else folder() / settings.file_name(item.fingerprint)
    about = {
        "scored": item.fingerprint,
        "settings": asdict(settings),
        "star_class": {space: owner_P.tolist() for space, owner_P in drawn.star_class.items()},
        "means": sorted(drawn.means),
    }
    save(list(drawn.projections.values()), target, about)
    return target


def read(path: str | Path) -> Map:
    """What `keep` wrote.

    Raises:
        InputError: there is no such file.
        FormatError: it is damaged, or holds something else.
    """
    found, about = load(path)
    try:
        projections = {one.space: one for one in found}
        star_class = {space: np.array(about["star_class"][space], np.int64) for space in projections}
        rows_N = found[0].rows_N
        if any(not np.array_equal(one.rows_N, rows_N) for one in found) or any(
            len(star_class[one.space]) != len(one.prototypes_P2) for one in found
        ):
            raise ValueError("its spaces show different clips or classes")
        return Map(rows_N, projections, star_class, frozenset(about["means"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"{path} is damaged ({error}); make it again") from error


def _spoken(cloud: Cloud) -> bool:
    return bool(len(cloud.prototypes_PE))


def _stars(
    cloud: Cloud, rows_N: IntArray, labels_N: IntArray, owner_P: IntArray, classes: IntArray
) -> tuple[FloatArray, IntArray]:
    """The classes' prototypes, else their mean clips (of unit vectors, over `rows_N`), and the class of each."""
    if _spoken(cloud):
        wanted = np.isin(owner_P, classes)
        return cloud.prototypes_PE[wanted], owner_P[wanted]
    units_NE, labels = directions(cloud.videos_NE[rows_N], "clips"), labels_N[rows_N]
    present = np.intersect1d(classes, labels)
    means = [units_NE[labels == index].mean(axis=0) for index in present]
    return np.array(means, np.float32).reshape(len(present), units_NE.shape[1]), present


def _of_space(on_progress: OnProgress, space: str) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(space, done, total)
