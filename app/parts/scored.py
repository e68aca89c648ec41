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
    sets = {item.name: item for item in found(SHIPPED / "scores")}
    sets |= {item.name: item for item in found(workspace.folder("scores"))}
    ordered = sorted(sets, key=lambda name: (sets[name].about["dataset"] != "demo", len(name), name))
    return {name: sets[name] for name in ordered}


def scores(item: Scored) -> Scores:
    """Its scores. They are shared: nobody may write into them."""
    return cache.large(item.scores, "scores", item.fingerprint, words="Reading scores")


def embeddings(item: Scored) -> Embeddings:
    """Its embeddings. They are shared: nobody may write into them."""
    return cache.large(item.embeddings, "embeddings", item.fingerprint, words="Reading embeddings")


def clip(item: Scored, clip_id: str, label: str = "") -> clips.ClipFile | None:
    """The clip of an id, to be played; None where its video is not on this machine."""
    if plan := world.plan_of(clip_id):
        return clips.drawn(plan)
    path = cache.once(item.paths, "paths", item.fingerprint).get(clip_id)
    return clips.from_file(Path(path), label) if path and Path(path).is_file() else None


def title(item: Scored) -> str:
    """Run and data set in a few words."""
    run, dataset = item.by, item.about["dataset"]
    if dataset == "demo":
        dataset = "the stick-figure world"
    return f"{run} on {Path(dataset).name if '/' in dataset else dataset}"
