"""What is here: `cezsar datasets`, `cezsar fetch`, `cezsar info` and `cezsar app`."""

from __future__ import annotations

import os
import platform
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

import cezsar
from cezsar.atomic import write_text
from cezsar.cli.console import Progress, save
from cezsar.cli.options import Verbs, Workspace, WorkspaceOut, output
from cezsar.data import datasets as known_sets
from cezsar.data.layout import Known, look
from cezsar.errors import CezsarError, InputError
from cezsar.workspace import BESIDE, home

verbs = Verbs()
PACKAGES = (
    "torch", "timm", "transformers", "sentence-transformers", "open-clip-torch", "av", "opencv-python", "h5py",
    "streamlit",
)  # fmt: skip


@verbs.verb(
    "cezsar datasets",
    'cezsar datasets --add ucf101=/data/UCF101 --add "my clips=/data/clips.csv"',
    "cezsar datasets kinetics400 --missing missing.txt",
)
def datasets(
    names: Annotated[list[str] | None, Argument(help="Only these; all by default.")] = None,
    add: Annotated[list[str] | None, Option(help="NAME=PLACE: a published data set, or your own.")] = None,
    forget: Annotated[list[str] | None, Option(help="Take a name off the list; its files stay.")] = None,
    missing: Annotated[Path | None, output("Write the ids of the one data set's missing clips there.")] = None,
    workspace: Workspace = None,
) -> None:  # fmt: skip
    """Data sets that can be named in --dataset: what is found, what is expected, what is missing, and the protocols."""
    for pair in add or []:
        name, equals, place = pair.partition("=")
        if not equals or not place.strip():
            raise InputError(f"{pair!r} should be NAME=PLACE, such as ucf101=/data/UCF101")
        known_sets.register(name, place.strip(), workspace)
    for name in forget or []:
        if not known_sets.forget(name, workspace):
            named = ", ".join(known_sets.registered(workspace))
            raise InputError(f"no data set is named {name!r}; there are {named or 'none'}")
    own = {name: at for name, at in known_sets.registered(workspace).items() if not known_sets.find_known(name)}
    chosen = list(dict.fromkeys(names or [*known_sets.KNOWN, "demo", *own]))
    if missing and (len(chosen) != 1 or not known_sets.find_known(chosen[0])):
        raise InputError(f"--missing is for one published data set; name one of {', '.join(known_sets.KNOWN)}")
    for name in chosen:
        if known := known_sets.find_known(name):
            _show_known(known, workspace, missing)
            continue
        print(f"{name}  {'the stick-figure world' if name == 'demo' else own.get(name, 'unknown')}")
        try:
            labels = known_sets.open_dataset(name, workspace).labels
            print(f"  found     {len(labels):,} clips of {len(set(labels.values())):,} classes")
        except CezsarError as error:
            print(f"  {'absent   ' if name == 'demo' else 'unusable '} {error}")


def _show_known(known: Known, workspace: Path | None, missing: Path | None) -> None:
    from cezsar.zeroshot.protocols import NAMED

    place = known_sets.place_of(known, workspace)
    expected = f"{known.clips:,} clips, {known.classes:,} classes" if known.classes else f"{known.clips:,} videos"
    print(f"{known.name}  {known.title}: {expected} expected")
    if protocols := [name for name in NAMED if name.startswith(f"{known.name}-")]:
        print(f"  protocols {' '.join(protocols)}")
    try:
        found = look(known, place)
    except CezsarError as error:
        if missing:
            raise
        print(f"  {'unusable ' if place.exists() else 'absent   '} {error}")
        return
    print(f"  found     {place}: {', '.join(found.sources)}")
    if known.classes:
        print(f"            {len(found.labels):,} clips of {len(set(found.labels.values())):,} classes to test on")
    for warning in found.warnings:
        print(f"  warning   {warning}")
    if found.parts:
        counts = ", ".join(f"{part} {len(ids):,}" for part, ids in sorted(found.parts.items()))
        print(f"  parts     {counts}" + f" (as in --dataset {known.name}:{min(found.parts)})" * bool(known.classes))
    if missing:
        save({missing: partial(write_text, text="".join(f"{id}\n" for id in found.missing))})
        print(f"  wrote     {missing}: {len(found.missing):,} ids")


@verbs.verb(
    "cezsar fetch open_clip:PE-Core-B-16",
    "cezsar fetch distilroberta --workspace /data/cezsar",
)
def fetch(
    encoder: Annotated[str, Argument(help="One of `cezsar info`, video:, open_clip:, clip:, timm:, caption:<model>")],
    workspace: WorkspaceOut = None,
) -> None:  # fmt: skip
    """Fetch an encoder's weights into models/ of the workspace. Goes on where it was stopped."""
    if workspace is not None:
        os.environ["CEZSAR_HOME"] = str(workspace)  # where encoders are looked for, too
    from cezsar.encoders import located
    from cezsar.encoders.weight_files import fetch, licence_of

    if (there := located(encoder)) is None:
        print(f"{encoder}: the licence of its weights is {licence_of(encoder)}")
    with Progress() as progress:

        def on_progress(what: str, done: int, total: int) -> None:
            progress.title = f"fetching {what} ({total / 1e6:,.0f} MB)"
            progress(done, total)

        folder = fetch(encoder, on_progress)
    print(f"{encoder} is here already: {there}" if there else f"{encoder} is ready: {folder}")


@verbs.verb("cezsar info", "cezsar info --workspace /data/cezsar")
def info(workspace: Workspace = None) -> None:
    """Versions, device, encoders (present or not, and where they are looked for), and what the workspace holds."""
    from cezsar.encoders import CARDS
    from cezsar.encoders.compute import pick_device
    from cezsar.encoders.image_text import PROMPTS

    print(f"cezsar {cezsar.__version__}, Python {platform.python_version()}, device {pick_device()}")
    print("  " + ", ".join(f"{package} {version(package)}" for package in PACKAGES))
    print(f"  films are decoded {_decoded()}")
    print("\nEncoders")
    for status in CARDS.values():
        print(f"  {'present' if status.present else 'absent ':7}  {status.name}: {status.domain}")
        print(f"           {'in' if status.present else 'would be in'} {status.where}")
        print(f"           {status.size}{f': {status.needs}' if status.needs else ''}")
        if status.facts:
            print(f"           {status.facts}")
    print("\nA label without a description is put into: " + " | ".join(PROMPTS))
    folder = home(workspace)
    print(f"\nWorkspace {folder.resolve()}{'' if folder.is_dir() else ' (not made yet; `cezsar demo` makes it)'}")
    for place, kind, tell in (("features", "store", _store), ("runs", "run", _run)):
        for path in sorted(path for path in (folder / place).glob("*") if path.is_dir()):
            try:
                print(f"  {kind:5}  {path.name}: {tell(path)}")
            except CezsarError as error:
                print(f"  {kind:5}  {path.name}: {error}")
    if folder.is_dir():
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"  {size / 2**20:,.0f} MiB in all")


def _decoded() -> str:
    from cezsar.video import Decoder

    with Decoder() as decoder:
        means = decoder.confinement()
    if "seccomp" in means:
        return f"by a process that can read its film and nothing else ({' and '.join(means)})"
    if "bwrap" in means:
        return f"by a process that can read its film and where Python is, and nothing else ({' and '.join(means)})"
    less = f", less what {means[0]} takes away" if means else ""
    return f"with your rights{less}, within bounds of time and memory; nothing more can be had here (docs/security.md)"


def _store(path: Path) -> str:
    from cezsar.data.features import FeatureStore

    store = FeatureStore(path)
    precision = store.provenance.get("precision", "precision not told")
    return f"{len(store):,} videos, {store.provenance['encoder']}, {store.dim}-d, {precision}"


def _run(path: Path) -> str:
    from cezsar.training.runs import Run

    run = Run.open(path)
    state = "trained" if run.trained else "training not finished"
    if "validation_loss" in (record := run.record()):
        state = f"validation loss {record['validation_loss']:.4f}"
    return f"{run.config.model.recipe} recipe on {run.config.feature_encoder['name']}, {run.config.domain}; {state}"


@verbs.verb(
    "cezsar app",
    "cezsar app --workspace /data/cezsar --server.port 8502 --server.address 0.0.0.0",
    context_settings={"ignore_unknown_options": True},
)
def app(
    streamlit: Annotated[list[str] | None, Argument(help="Options of `streamlit run`.")] = None,
    workspace: Workspace = None,
) -> None:
    """Start the app, on http://localhost:8501 unless told otherwise."""
    if workspace is not None:
        os.environ["CEZSAR_HOME"] = str(workspace)
    os.execv(sys.executable, [sys.executable, str(BESIDE / "app" / "start.py"), *(streamlit or [])])
