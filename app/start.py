"""The app's server: `cezsar app` runs this file with options of `streamlit run`. What the pages import is read while
the browser is on its way."""

import gc
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread

from streamlit import net_util
from streamlit.web.cli import main

APP = Path(__file__).resolve().parent


def read_ahead() -> None:
    for page in sorted(APP.glob("*/page.py")):  # Classify, which opens by itself, is the first
        import_module(f"app.{page.parent.name}.page")


setattr(net_util, "get_external_ip", lambda: None)  # noqa: B010 (Streamlit would ask a server of Amazon's)
gc.set_threshold(100_000)  # imports make a million objects and no garbage
sys.path.insert(0, str(APP.parent))
Thread(target=read_ahead, daemon=True).start()
main(["run", str(APP / "main.py"), *sys.argv[1:]], prog_name="streamlit")
