"""What the page Semantic gap shows: maps of a scored data set, the gap in numbers, and what the run says of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import cache
from app.services import models, scored
from cezsar import jobs
from cezsar.analysis import gap, maps
from cezsar.analysis.confusion import FIGURE_1, PAPER_GROUPS, matching_groups
from cezsar.analysis.gap import Change, ClassGap, Gap, UnitSpace
from cezsar.arrays import IntArray
from cezsar.errors import InputError
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot import fusion
from cezsar.zeroshot.scored import Cloud, Scored

KIND = "project"
MOST_CLASSES = 8
"""Coloured at once: no palette stays distinguishable past eight."""

WIDEST = 6  # classes in the group of those with the widest gaps


# The data --------------------------------------------------------------------------------------------------------


def clouds(item: Scored) -> tuple[IntArray, dict[str, Cloud]]:
    """Its points, see `Scored.clouds`."""
    return cache.large(item.clouds, "clouds", item.fingerprint, words="Reading points")


def labels(item: Scored) -> IntArray:
    """(N,) class of each clip of `clouds`; -1 where it is unknown."""
    return scored.scores(item).label_index[clouds(item)[0]]


def unit_space(item: Scored, space: str) -> UnitSpace:
    """All clips of `clouds` and the prototypes of all classes, in one space."""
    cloud, n_classes = clouds(item)[1][space], len(scored.scores(item).class_names)
    owner_P = scored.embeddings(item).prototype_class
    return UnitSpace(cloud.videos_NE, labels(item), cloud.prototypes_PE, owner_P, n_classes)


def gaps(item: Scored) -> dict[str, Gap]:
    """Space -> the gap in numbers, over all clips of `clouds` and all classes."""
    return cache.once(
        lambda: {space: gap.measure(unit_space(item, space)) for space in clouds(item)[1]},
        "gaps", item.fingerprint, words="Measuring the gap",
    )  # fmt: skip


def changes(item: Scored) -> list[Change]:
    """Every number of the gap, with its values in all spaces, in the order of the way."""
    return gap.changes(gaps(item))


def class_gaps(item: Scored) -> dict[str, list[ClassGap]]:
    """Space -> each class's part of the gap, in the order of classes."""
    return cache.once(
        lambda: {space: gap.per_class(unit_space(item, space)) for space in clouds(item)[1]},
        "class gaps", item.fingerprint,
    )  # fmt: skip


def groups(item: Scored, own: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[str]]:
    """Ready-made choices of classes: the paper's figure, hard groups, `own` ones, and the widest gaps."""
    names = scored.scores(item).class_names
    known = {"Figure 1 of the paper": FIGURE_1, **PAPER_GROUPS}
    if item.about["dataset"] == "demo":
        known = {name: list(members) for name, members in HARD_GROUPS.items()}
    found = matching_groups(known | dict(own or {}), names)
    spoken = {space: classes for space, classes in class_gaps(item).items() if classes[0].own_distance is not None}
    last = list(spoken.values())[-1:]  # the joint space where there is one
    known_gaps = [one for one in last[0] if one.own_distance is not None] if last else []
    if wide := sorted(known_gaps, key=lambda one: -(one.own_distance or 0.0)):
        found.setdefault("widest gaps", [names[one.index] for one in wide[:WIDEST]])
    return found


def first_classes(item: Scored) -> list[str]:
    """The classes that are coloured until somebody chooses: the first two groups, as far as they fit."""
    chosen: dict[str, None] = {}
    for members in list(groups(item).values())[:2]:
        if len(chosen) + len(members) <= MOST_CLASSES:
            chosen |= dict.fromkeys(members)
    return list(chosen)


# Maps ------------------------------------------------------------------------------------------------------------


def path_of(item: Scored, settings: maps.MapSettings) -> Path | None:
    """The file of a map, in the workspace or shipped; None if nobody has drawn it."""
    name = settings.file_name(item.fingerprint)
    places = (maps.folder(), models.SHIPPED / "cache" / "projections")
    return next((place / name for place in places if (place / name).is_file()), None)


def read(path: Path) -> maps.Map:
    """The map in a file.

    Raises:
        FormatError: it is damaged.
    """
    stat = path.stat()
    return cache.once(lambda: maps.read(path), "map", str(path), stat.st_size, stat.st_mtime_ns)


def arguments(item: Scored, settings: maps.MapSettings) -> list[str]:
    """The `cezsar` command that draws a map and puts it where `path_of` looks."""
    given = ["project", str(item.folder.resolve()), "--perplexity", f"{settings.perplexity:g}"]
    given += ["--seed", str(settings.seed), "--sample", str(settings.sample)]
    if settings.classes:
        given += ["--classes", ", ".join('"' + name.replace('"', '""') + '"' for name in settings.classes)]
    return given


def job(item: Scored, settings: maps.MapSettings) -> jobs.Job | None:
    """The latest attempt to draw a map, alive or ended."""
    name = settings.file_name(item.fingerprint)
    return next((job for job in jobs.jobs(KIND) if job.about.get("map") == name), None)


def start(item: Scored, settings: maps.MapSettings) -> None:
    """Draw a map in a process of its own, unless one is at it.

    Raises:
        CezsarError: this system cannot run jobs.
    """
    running = job(item, settings)
    if running is not None and running.alive:
        return
    title = f"Map of {scored.title(item)}"
    step = jobs.Step("t-SNE", arguments(item, settings))
    jobs.start(KIND, title, [step], about={"map": settings.file_name(item.fingerprint)}, at_once=True)


# Clips -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """The clips of a map, in its order.

    Attributes:
        ids: by which a clip is chosen.
        labels: class names; "" where it is unknown.
        predicted: class names, by the run's own weights; "" where nothing speaks for any class.
        row_N: of each clip among the scores.
    """

    ids: list[str]
    labels: list[str]
    predicted: list[str]
    row_N: IntArray


def shown(item: Scored, drawn: maps.Map) -> Shown:
    """What is known of the clips of a map."""
    scores = scored.scores(item)
    row_N = clouds(item)[0][drawn.rows_N]
    names = [*scores.class_names, ""]
    predicted_N = cache.once(lambda: fusion.predict(scores, item.weights), "predicted", item.fingerprint)
    return Shown(
        [scores.ids[row] for row in row_N],
        [names[index] for index in scores.label_index[row_N]],
        [names[index] for index in predicted_N[row_N]],
        row_N,
    )


def ranking(item: Scored, row: int) -> list[tuple[str, float]]:
    """All classes with their similarity to a clip (Eq. 8 and 9, the run's own weights), best first."""
    scores = scored.scores(item)
    similarity_C = fusion.similarities(scores, item.weights, np.array([row]))[0]
    order = np.argsort(-similarity_C, kind="stable")
    return [(scores.class_names[index], float(similarity_C[index])) for index in order]


def pinned_at(item: Scored, drawn: maps.Map, pinned: Mapping[str, object]) -> dict[str, tuple[float, float]]:
    """Space -> about where a clip pinned elsewhere would lie; only in spaces of the run that read it."""
    if pinned.get("run") != item.about["run"]:
        return {}
    found = {}
    for space, projection in drawn.projections.items():
        vector = pinned.get(space)
        if vector is None:
            continue
        try:
            x, y = maps.place(np.asarray(vector), clouds(item)[1][space].videos_NE[drawn.rows_N], projection.videos_N2)
        except InputError:  # read by another run of that name, of another width
            continue
        found[space] = (float(x), float(y))
    return found


def of_classes(names: Sequence[str], among: Sequence[str]) -> list[int]:
    """Positions of the clips whose class is one of `names`."""
    wanted = set(names)
    return [index for index, name in enumerate(among) if name in wanted]
