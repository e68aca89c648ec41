"""`cezsar datasets`: which data sets are found, what each should have, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cezsar.cli.console import output, save

if TYPE_CHECKING:
    from cezsar.data.layout import Known

EXAMPLES = """[bold]Examples[/bold]

cezsar datasets

cezsar datasets --add ucf101=/data/UCF101 --add "my clips=/data/clips.csv"

cezsar datasets kinetics400 --missing missing.txt
"""


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all by default.")] = None,
    add: Annotated[
        list[str] | None, typer.Option(help="NAME=PLACE: where a data set is. A published one, or your own.")
    ] = None,
    forget: Annotated[list[str] | None, typer.Option(help="Take a name off the list; its files stay.")] = None,
    missing: Annotated[
        Path | None,
        typer.Option(
            help="Write the ids of all missing clips of the one data set there, one to a line.", callback=output()
        ),
    ] = None,
    workspace: Annotated[Path | None, typer.Option(help="Default: $CEZSAR_HOME, else ./workspace.")] = None,
) -> None:
    """Data sets that can be named in --dataset: what is found, what is expected, what is missing, and the protocols."""
    from cezsar.data import datasets
    from cezsar.errors import InputError

    for pair in add or []:
        name, equals, place = pair.partition("=")
        if not equals or not place.strip():
            raise InputError(f"{pair!r} should be NAME=PLACE, such as ucf101=/data/UCF101")
        datasets.register(name, place.strip(), workspace)
    for name in forget or []:
        if not datasets.forget(name, workspace):
            named = ", ".join(datasets.registered(workspace))
            raise InputError(f"no data set is named {name!r}; there are {named or 'none'}")
    own = {name: place for name, place in datasets.registered(workspace).items() if not datasets.find_known(name)}
    chosen = list(dict.fromkeys(names or [*datasets.KNOWN, "demo", *own]))
    if missing and (len(chosen) != 1 or not datasets.find_known(chosen[0])):
        raise InputError(f"--missing is for one published data set; name one of {', '.join(datasets.KNOWN)}")
    for name in chosen:
        if known := datasets.find_known(name):
            _show_known(known, workspace, missing)
        else:
            _show_own(name, own.get(name), workspace)


def _show_known(known: Known, workspace: Path | None, missing: Path | None) -> None:
    from cezsar.atomic import write_text
    from cezsar.data import datasets
    from cezsar.errors import CezsarError, InputError
    from cezsar.zeroshot.protocols import NAMED

    place = datasets.place_of(known, workspace)
    expected = f"{known.clips:,} clips, {known.classes:,} classes" if known.classes else f"{known.clips:,} videos"
    print(f"{known.name}  {known.title}: {expected} expected")
    try:
        found = datasets.find(known, workspace)
    except CezsarError as error:
        print(f"  unusable  {error}")
        if missing:
            raise
        found = None
    else:
        if found is None:
            print(f"  absent    it would be in {place}: {known.layout}")
    if found:
        print(f"  found     {place}: {', '.join(found.sources)}")
        if known.classes:
            print(f"            {len(found.labels):,} clips of {len(set(found.labels.values())):,} classes to test on")
        for warning in found.warnings:
            print(f"  warning   {warning}")
        if found.parts:
            counts = ", ".join(f"{part} {len(ids):,}" for part, ids in sorted(found.parts.items()))
            how = f" (as in --dataset {known.name}:{min(found.parts)})" if known.classes else ""
            print(f"  parts     {counts}{how}")
    if protocols := [name for name in NAMED if name.startswith(f"{known.name}-")]:
        print(f"  protocols {' '.join(protocols)}")
    if missing:
        if found is None:
            raise InputError(f"{known.title} is not here, so what is missing cannot be told")
        text = "".join(f"{id}\n" for id in found.missing)
        save((missing, lambda path: write_text(path, text)))
        print(f"  wrote     {missing}: {len(found.missing):,} ids")


def _show_own(name: str, place: str | None, workspace: Path | None) -> None:
    from cezsar.data.datasets import open_dataset
    from cezsar.errors import CezsarError

    print(f"{name}  {'the stick-figure world' if name == 'demo' else place or 'unknown'}")
    try:
        data = open_dataset(name, workspace)
    except CezsarError as error:
        print(f"  {'absent   ' if name == 'demo' else 'unusable '} {error}")
        return
    print(f"  found     {len(data.labels):,} clips of {len(set(data.labels.values())):,} classes")
