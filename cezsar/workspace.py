"""Where things are kept: `$CEZSAR_HOME`, default `./workspace`.

```
data/      captions, manifests, class descriptions      jobs/   long work started from the app
features/  feature stores          cache/  sentence vectors and other things that can be made again
runs/      trained models          scores/ data sets scored by a run
models/    weights put there by hand, or fetched          demo/   the stick-figure world
```
"""

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# The folder of app/, pages/ and assets/: a checkout, or within the package where a wheel was installed.
BESIDE = _HERE / "bundle" if (_HERE / "bundle").is_dir() else _HERE.parent
ASSETS = BESIDE / "assets"  # what comes along: runs, class descriptions, splits, sentence vectors
FOLDERS = ("data", "features", "runs", "scores", "jobs", "cache", "models", "demo")


def home(workspace: str | Path | None = None) -> Path:
    """The workspace folder: the argument, else `$CEZSAR_HOME`, else `./workspace`. It need not exist yet."""
    return Path(workspace or os.environ.get("CEZSAR_HOME") or "workspace")


def folder(name: str, workspace: str | Path | None = None) -> Path:
    """One of `FOLDERS` inside the workspace. It need not exist yet."""
    return home(workspace) / name
