"""Data sets scored by a run: what the pages about figures and pictures read. Loaded once for all sessions."""

from __future__ import annotations

from pathlib import Path

from app import cache
from app.parts import clips
from app.parts.models import SHIPPED
from cezsar import workspace, world
from cezsar.zeroshot.scored import Scored, found
from cezsar.zeroshot.scores import Embeddings, Scores


def scored_sets() -> dict[str, Scored]:
    """Every scored data set by name, the demo's first. One in the workspace hides the shipped one of the same name."""
    sets = {item.name: item for place in (SHIPPED / "scores", workspace.folder("scores")) for item in found(place)}
    return dict(sorted(sets.items(), key=lambda pair: (pair[1].about["dataset"] != "demo", len(pair[0]), pair[0])))


def scores(item: Scored) -> Scores:
    return cache.large(item.scores, "scores", item.fingerprint, words="Reading scores")


def embeddings(item: Scored) -> Embeddings:
    return cache.large(item.embeddings, "embeddings", item.fingerprint, words="Reading embeddings")


def clip(item: Scored, clip_id: str, label: str = "") -> clips.ClipFile | None:
    """The clip of an id, to be played; None where its video is not on this machine."""
    if plan := world.plan_of(clip_id):
        return clips.drawn(plan)
    path = cache.once(item.paths, "paths", item.fingerprint).get(clip_id)
    return clips.from_file(Path(path), label) if path and Path(path).is_file() else None


def title(item: Scored) -> str:
    """Run and data set in a few words."""
    dataset = item.about["dataset"]
    name = "the stick-figure world" if dataset == "demo" else Path(dataset).name if "/" in dataset else dataset
    return f"{item.by} on {name}"
