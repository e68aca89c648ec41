"""CEZSAR: zero-shot action recognition, after Estevam et al. (ICPR 2026).

```python
import cezsar

classifier = cezsar.load("photographs")
print(classifier.classify("clip.mp4", labels=["kicking a ball", "waving a flag"]).labels)
```
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from cezsar.errors import (
    CezsarError,
    FormatError,
    InputError,
    MismatchError,
    MissingWeightsError,
    VideoError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cezsar.zeroshot.classifier import Classifier, Ranking

__all__ = [
    "CezsarError",
    "Classifier",
    "FormatError",
    "InputError",
    "MismatchError",
    "MissingWeightsError",
    "Ranking",
    "VideoError",
    "__version__",
    "load",
]

try:
    __version__ = version("cezsar")
except PackageNotFoundError:  # used from a folder, not installed
    __version__ = "0"


def load(run: str | Path, *, weights: str | Path | None = None, device: str | None = None) -> Classifier:
    """A classifier from a trained run: `load(run).classify(path, labels=[...])`.

    Args:
        run: the folder that `cezsar train` or `cezsar demo` wrote, or the name of a run in the workspace or of one that
            comes along: "photographs", for real video, and "demo".
        weights: file or folder of the frame encoder's weights, where they are not in their usual place.
        device: "cpu", "cuda", ...; the best one present by default.

    Returns:
        A `Classifier`. `classify` returns a `Ranking`: labels with cosine similarities in [-1, 1], best first.

    Raises:
        FormatError: no run there, or a damaged one.
        MismatchError: an encoder on this machine differs from the one the run was trained with.
        MissingWeightsError: the frame encoder's weights are not here.
    """
    from cezsar.zeroshot.classifier import Classifier

    return Classifier.of_run(run, weights=weights, device=device)


def __getattr__(name: str) -> Any:
    # Torch and OpenCV load when these are asked for, not with the package.
    if name in ("Classifier", "Ranking"):
        from cezsar.zeroshot import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module 'cezsar' has no attribute {name!r}")
