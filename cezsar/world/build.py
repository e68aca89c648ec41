"""The world on disk: real video files, annotations, descriptions.

```
train/<id>.mp4   train.json (ActivityNet Captions form)   props.json (per video: [start_s, end_s, prop, place, action])
test/<class name>/<id>.mp4      descriptions.json   hard_groups.json   objects.json
settings.json (written first)   world.json (written last: the folder is complete)
```
Videos are rendered by child processes that plan the same world again from its settings, so nothing is pickled and no
`__main__` is imported twice. A file appears whole or not at all; building again renders only what is missing.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cezsar
from cezsar.atomic import write_json
from cezsar.errors import CezsarError, InputError, MismatchError
from cezsar.world import plans
from cezsar.world.actions import BY_NAME, HARD_GROUPS, OBJECTS, Action, unseen_actions
from cezsar.world.plans import FPS, VideoPlan, plan_clips, plan_training, segment_props
from cezsar.world.words import DESCRIPTIONS

VERSION = 1
"""Raised when the same settings no longer give the same pictures."""


@dataclass(frozen=True)
class Settings:
    """Everything a built world depends on."""

    seed: int
    videos: int
    segments_per_video: int
    clips_per_class: int
    train_exclude: tuple[str, ...]
    test_actions: tuple[str, ...]
    version: int = VERSION

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read back what `asdict` and `json` wrote."""
        values: dict[str, Any] = json.loads(text)
        for name in ("train_exclude", "test_actions"):
            values[name] = tuple(values[name])
        return cls(**values)

    def plans(self) -> tuple[list[VideoPlan], list[VideoPlan]]:
        """Training videos and test clips."""
        train = plan_training(
            self.seed, videos=self.videos, segments_per_video=self.segments_per_video, exclude=self.train_exclude
        )
        test = plan_clips(self.seed, [BY_NAME[name] for name in self.test_actions], self.clips_per_class)
        return train, test


@dataclass(frozen=True)
class World:
    """A world on disk and its plans."""

    folder: Path
    train: list[VideoPlan]
    test: list[VideoPlan]

    def path(self, plan: VideoPlan) -> Path:
        """Where a plan's video file is."""
        return video_path(self.folder, plan)


def video_path(folder: Path, plan: VideoPlan) -> Path:
    """Training videos are `train/<id>.mp4`, test clips `test/<class name>/<id>.mp4`.

    The first clip of each class is a WebM: browsers play it, but it takes ten times as long to write.
    """
    if not plan.label:
        return folder / "train" / f"{plan.id}.mp4"
    return folder / "test" / plan.label / f"{plan.id}{'.webm' if plan.id.endswith('-000') else '.mp4'}"


def build(
    folder: str | Path,
    seed: int,
    *,
    workers: int = 2,
    videos: int = 300,
    segments_per_video: int = 7,
    clips_per_class: int = 20,
    train_exclude: Collection[str] = (),
    test_actions: Iterable[Action | str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> World:
    """Write a world into `folder`, or finish one that was begun there with the same settings.

    `test_actions` (default: the unseen ones) may be any actions; `on_progress` gets (files done, files in all).
    Raises `InputError` for unknown actions, `MismatchError` if the folder holds a world of other settings, and
    `CezsarError` if a child process fails.
    """
    folder = Path(folder)
    names = [a if isinstance(a, str) else a.name for a in (unseen_actions() if test_actions is None else test_actions)]
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise InputError(f"no such action in the stick-figure world: {', '.join(unknown)}")
    settings = Settings(
        int(seed), videos, segments_per_video, clips_per_class, tuple(sorted(set(train_exclude))), tuple(names)
    )
    train, test = settings.plans()
    world = World(folder, train, test)
    _claim(folder, settings)
    missing = [plan for plan in (*train, *test) if not world.path(plan).is_file()]
    if missing or not (folder / "world.json").is_file():
        _render_all(folder, settings, max(1, workers), len(train) + len(test), len(missing), on_progress)
        _write_tables(world, settings)
    if on_progress is not None:
        on_progress(len(train) + len(test), len(train) + len(test))
    return world


def _claim(folder: Path, settings: Settings) -> None:
    """Write `settings.json`, or check that the one that is there says the same."""
    path = folder / "settings.json"
    if not path.is_file():
        write_json(path, asdict(settings))
        return
    try:
        found = Settings.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError) as error:
        raise MismatchError(f"{path} is no stick-figure world's settings ({error}); choose an empty folder") from error
    if found != settings:
        raise MismatchError(
            f"{folder} holds a stick-figure world of other settings; choose an empty folder or remove it"
        )


def _render_all(
    folder: Path,
    settings: Settings,
    workers: int,
    total: int,
    missing: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Run the child processes and count the files they report."""
    workers = min(workers, missing)
    environment = dict(os.environ)
    root = str(Path(cezsar.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    text = json.dumps(asdict(settings))
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "cezsar.world.worker", str(folder), str(share), str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        for share in range(workers)
    ]
    lines: queue.Queue[str | None] = queue.Queue()
    complaints = [""] * workers

    def read(share: int, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write(text)
        child.stdin.close()
        for line in child.stdout:
            lines.put(line)
        complaints[share] = child.stderr.read()
        lines.put(None)

    threads = [threading.Thread(target=read, args=pair, daemon=True) for pair in enumerate(children)]
    try:
        for thread in threads:
            thread.start()
        done, running = total - missing, workers
        while running:
            if lines.get() is None:
                running -= 1
                continue
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    except BaseException:
        for child in children:
            child.kill()
        raise
    finally:
        for child in children:
            child.wait()
    for child, complaint in zip(children, complaints, strict=True):
        if child.returncode:
            last = complaint.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
            raise CezsarError(f"rendering into {folder} failed: {last[0]}; run it again to go on from where it stopped")


def _write_tables(world: World, settings: Settings) -> None:
    folder = world.folder
    write_json(folder / "train.json", plans.annotations(world.train))
    write_json(folder / "props.json", segment_props(world.train))
    write_json(folder / "descriptions.json", {name: DESCRIPTIONS[name] for name in settings.test_actions})
    inside = set(settings.test_actions)
    groups = {name: [c for c in classes if c in inside] for name, classes in HARD_GROUPS.items()}
    write_json(folder / "hard_groups.json", {name: classes for name, classes in groups.items() if len(classes) > 1})
    write_json(folder / "objects.json", OBJECTS)
    write_json(
        folder / "world.json", {**asdict(settings), "fps": FPS, "train": len(world.train), "test": len(world.test)}
    )
