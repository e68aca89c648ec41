"""Where things are kept: `$CEZSAR_HOME`, default `./workspace`.

```
features/  feature stores          jobs/   long work started from the app
runs/      trained models          cache/  sentence vectors and other things that can be made again
models/    weights put there by hand, or fetched          demo/   the stick-figure world
```
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDERS = ("features", "runs", "jobs", "cache", "models", "demo")


def home(workspace: str | Path | None = None) -> Path:
    """The workspace folder: the argument, else `$CEZSAR_HOME`, else `./workspace`. It need not exist yet."""
    return Path(workspace or os.environ.get("CEZSAR_HOME") or "workspace")


def folder(name: str, workspace: str | Path | None = None) -> Path:
    """One of `FOLDERS` inside the workspace. It need not exist yet."""
    if name not in FOLDERS:
        raise ValueError(f"{name!r} is no workspace folder; there are {', '.join(FOLDERS)}")
    return home(workspace) / name
