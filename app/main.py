"""The app's entry: `streamlit run app/main.py`. Page configuration and navigation, nothing else."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only app/ there
    sys.path.insert(0, str(ROOT))

ASSETS = ROOT / "assets"

st.set_page_config(page_title="CEZSAR", page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(str(ASSETS / ("logo-dark.svg" if st.context.theme.type == "dark" else "logo.svg")), size="large")
st.html(ASSETS / "style.css")
st.navigation(
    [st.Page(ROOT / "pages" / "classify.py", title="Classify", icon=":material/movie:", default=True)],
    position="top",
).run()
