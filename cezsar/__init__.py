"""CEZSAR: zero-shot action recognition, after Estevam et al. (ICPR 2026).

```python
import cezsar

classifier = cezsar.load("photographs")
print(classifier.classify("clip.mp4", labels=["kicking a ball", "waving a flag"]).labels)
```
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from cezsar.errors import CezsarError, FormatError, InputError, MismatchError, MissingWeightsError, VideoError

if TYPE_CHECKING:
    from pathlib import Path

    from cezsar.zeroshot.classifier import Classifier, Ranking
    from cezsar.zeroshot.examples import Label

# fmt: off
__all__ = [
    "CezsarError", "Classifier", "FormatError", "InputError", "Label", "MismatchError", "MissingWeightsError",
    "Ranking", "VideoError", "__version__", "load",
]
# fmt: on

for _name, _value in (("HF_HUB_DISABLE_TELEMETRY", "1"), ("DO_NOT_TRACK", "1"), ("RAY_USAGE_STATS_ENABLED", "0")):
    os.environ.setdefault(_name, _value)  # libraries read them when they are imported, and tell their makers nothing
# torch's threads spin where they wait for each other; on cores that do other work, too, that takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("cezsar")
except PackageNotFoundError:  # used from a folder, not installed
    __version__ = "0"


def load(run: str | Path, *, weights: str | Path | None = None, device: str | None = None) -> Classifier:
    """A classifier from a trained run: `load(run).classify(path, labels=[...])` returns a `Ranking`, best label first.
    `run` is the folder that `cezsar train` or `cezsar demo` wrote, or the name of a run in the workspace or of one that
    comes along: "photographs", for real video, and "demo". `weights` (file or folder) are the frame encoder's, where
    they are not in their usual place; `device` is "cpu", "cuda", ..., the best one present by default. Raises
    `FormatError` without a sound run there, `MismatchError` where an encoder here differs from the one that the run was
    trained with, `MissingWeightsError` without the frame encoder's weights."""
    from cezsar.zeroshot.classifier import Classifier

    return Classifier.of_run(run, weights=weights, device=device)


def __getattr__(name: str) -> Any:
    if name not in ("Classifier", "Label", "Ranking"):
        raise AttributeError(f"module 'cezsar' has no attribute {name!r}")
    from cezsar.zeroshot import classifier  # Torch and OpenCV load when these are asked for, not with the package

    return getattr(classifier, name)
