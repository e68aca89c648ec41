"""The app's entry: `cezsar app`. Page configuration, the end of sessions, and navigation, nothing else."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only app/ there
    sys.path.insert(0, str(ROOT))

from app.cache import end_when_left  # noqa: E402
from app.parts.access import let_in  # noqa: E402

ASSETS = ROOT / "assets"
PAGES = {
    "classify": ("Classify", ":material/movie:"),
    "train": ("Train", ":material/model_training:"),
    "evaluate": ("Evaluate", ":material/table_chart:"),
    "semantic_gap": ("Semantic gap", ":material/scatter_plot:"),
    "confusion": ("Confusion", ":material/grid_on:"),
    "tune": ("Tune", ":material/tune:"),
    "library": ("Library", ":material/inventory_2:"),
}

st.set_page_config(page_title="CEZSAR", page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(str(ASSETS / ("logo-dark.svg" if st.context.theme.type == "dark" else "logo.svg")), size="large")
st.html(ASSETS / "style.css")
end_when_left()
if not let_in():
    st.stop()
st.navigation(
    [
        st.Page(ROOT / "pages" / f"{name}.py", title=title, icon=icon, default=name == "classify")
        for name, (title, icon) in PAGES.items()
    ],
    position="top",
).run()
