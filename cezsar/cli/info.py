"""`cezsar info`: what is here."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """[bold]Examples[/bold]

cezsar info

cezsar info --workspace /data/cezsar
"""

PACKAGES = (
    "torch",
    "timm",
    "transformers",
    "sentence-transformers",
    "open-clip-torch",
    "av",
    "opencv-python",
    "h5py",
    "streamlit",
)


def command(
    workspace: Annotated[Path | None, typer.Option(help="Default: $CEZSAR_HOME, else ./workspace.")] = None,
) -> None:
    """Versions, device, encoders (present or not, and where they are looked for), and what the workspace holds."""
    import cezsar
    from cezsar.encoders import available, card
    from cezsar.encoders.compute import pick_device
    from cezsar.encoders.image_text import PROMPTS
    from cezsar.workspace import home

    print(f"cezsar {cezsar.__version__}, Python {platform.python_version()}, device {pick_device()}")
    print("  " + ", ".join(f"{package} {version(package)}" for package in PACKAGES))
    print("\nEncoders")
    for status in available():
        print(f"  {'present' if status.present else 'absent ':7}  {status.name}: {status.domain}")
        print(f"           {'in' if status.present else 'would be in'} {status.where}")
        print(f"           {status.size}{f': {status.needs}' if status.needs else ''}")
        if facts := card(status.name).facts:
            print(f"           {facts}")
    print("\nA label without a description is put into: " + " | ".join(PROMPTS))
    folder = home(workspace)
    print(f"\nWorkspace {folder.resolve()}{'' if folder.is_dir() else ' (not made yet; `cezsar demo` makes it)'}")
    if folder.is_dir():
        _show_stores(folder / "features")
        _show_runs(folder / "runs")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"  {size / 2**20:,.0f} MiB in all")


def _show_stores(folder: Path) -> None:
    from cezsar.data.features import FeatureStore
    from cezsar.errors import CezsarError

    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        try:
            store = FeatureStore(path)
            print(f"  store  {path.name}: {len(store):,} videos, {store.provenance['encoder']}, {store.dim}-d")
        except CezsarError as error:
            print(f"  store  {path.name}: {error}")


def _show_runs(folder: Path) -> None:
    from cezsar.errors import CezsarError
    from cezsar.training.runs import Run

    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        try:
            run = Run.open(path)
            state = "trained" if run.trained else "training not finished"
            if "validation_loss" in (record := run.record()):
                state = f"validation loss {record['validation_loss']:.4f}"
            encoder = run.config.feature_encoder["name"]
            print(f"  run    {run.name}: {run.config.model.recipe} recipe on {encoder}, {run.config.domain}; {state}")
        except CezsarError as error:
            print(f"  run    {path.name}: {error}")
