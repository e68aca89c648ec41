"""The page Library: what this workspace holds, what it weighs, and how to get more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import cache, state
from app.library import descriptions, workshop
from app.parts import holdings, models, scored, show
from app.parts.access import given
from app.parts.choosers import segments
from app.parts.holdings import captions
from app.parts.jobs import follow, offer
from app.parts.preparation import prepare_demo
from app.parts.runs import runs
from app.parts.words import plain, size
from cezsar import encoders, jobs, workspace
from cezsar.data import datasets
from cezsar.encoders.catalogue import HUB_NAME
from cezsar.encoders.weight_files import licence_of
from cezsar.errors import CezsarError

DOWNLOAD = ":material/download:"
PRESENT, ABSENT = ":green-badge[:material/check: present]", ":gray-badge[:material/cloud_download: not here]"
SHIPPED, OWN = "came with the software", "the workspace"


def page() -> None:
    st.title("Library", anchor=False)
    st.markdown("Data sets, features, runs, encoders and class descriptions: what is here, and how to get more.")
    descriptions.choose_saved()
    section = segments("Section", state.SECTIONS, state.SECTION, label_visibility="collapsed")
    shown = {
        "data": data_sets, "stores": feature_stores, "trained": trained, "encoders": all_encoders,
        "words": descriptions.section, "workshop": workshop.section, "disk": disk,
    }  # fmt: skip
    with show.explained():
        shown[section]()


def _table(rows: Sequence[dict[str, Any]], alt: str, none: str, **more: Any) -> None:
    if rows:
        show.table(rows, alt, **more)
    else:
        show.info(none)


def _attempt(action: Callable[[], object]) -> None:
    """Do something that can fail for a reason worth showing, then draw the page anew."""
    with show.explained():
        action()
        st.rerun()


def data_sets() -> None:
    st.caption(
        "Clips with class names, to evaluate runs on: a folder of class folders, a CSV with the columns path, id and "
        'label, or an index {"class": ["clip id", ...]} as JSON. Their files stay where they are.'
    )
    shipped = holdings.shipped_demo()
    found = [] if shipped is None else [(shipped, f"{SHIPPED}; its clips are drawn when looked at")]
    found += [(item, OWN if item.source == "demo" else item.source) for item in holdings.data_sets()]
    rows = [
        {"name": item.name, "clips": item.clips, "classes": item.classes,
         "feature stores with all clips": ", ".join(item.stores) or "none yet", "place": place, "note": item.error}
        for item, place in found
    ]  # fmt: skip
    none = "No data set has been named yet: add one below."
    _table(rows, "Data sets with their clips, classes and feature stores", none)
    left, right = st.columns(2, gap="large")
    with left, st.form("register", clear_on_submit=False):
        st.markdown("**Add a data set**")
        name = st.text_input("Name", key="register-name", placeholder="ucf101", max_chars=60)
        what = "Folder, CSV or index file on the machine of this app"
        source = st.text_input(what, key="register-source", placeholder="/data/UCF-101")
        if st.form_submit_button("Add", icon=":material/add:"):
            _attempt(lambda: datasets.register(name, given(source, "data set")))
    with right:
        if own := list(datasets.registered()):
            with st.container(border=True):
                st.markdown("**Take a data set off the list**")
                chosen = st.selectbox("Data set", own, key="unregister-name")
                if st.button("Take off", "unregister", "Its files stay.", icon=":material/close:"):
                    _attempt(lambda: datasets.forget(chosen))
        with st.container(border=True):
            st.markdown("**Annotation files**", help="Captions with timestamps, in the form of ActivityNet Captions.")
            for item in (files := captions()).values():
                st.markdown(f"{plain(item.name)} :gray[{item.sentences:,} sentences of {len(item.ids):,} videos]")
            if not files:
                st.caption("None yet: the page Train takes them as uploads, and the demo brings its own.")
    st.subheader("The demo", anchor=False)
    if (workspace.folder("demo") / "test").is_dir() and not any(job.alive for job in jobs.jobs("demo")):
        st.caption("It is in this workspace. To build it anew, first remove what should be made again under Disk use.")
    else:
        prepare_demo()


def feature_stores() -> None:
    st.caption("Frames are encoded once, one row a second; training and evaluation read the rows and never the video.")
    rows = [
        {"name": store.name, "videos": len(store.ids), "seconds": store.seconds, "encoder": store.encoder,
         "width of a row": store.dim, "objects": f"of {store.objects:,}" if store.objects else "none",
         "size": size(holdings.size(store.folder)), "note": store.error}
        for store in holdings.stores()
    ]  # fmt: skip
    _table(rows, "Feature stores with videos, seconds, encoder and size", "No features have been extracted yet.")
    there = [status.name for status in encoders.CARDS.values() if status.kind == "frames" and status.present]
    known = [item.source for item in holdings.data_sets() if not item.error]
    with st.form("extract"):
        st.markdown("**Extract features**")
        source = st.selectbox(
            "Videos", known, index=0 if known else None, accept_new_options=True, key="extract-source",
            placeholder="a folder of videos, or a CSV with path, id and label",
            help="A data set, or any folder on the machine of this app: type its path.",
        )  # fmt: skip
        encoder = st.selectbox("Encoder", there, key="extract-encoder", help="Others are fetched under Encoders.")
        name = st.text_input(
            "Name of the store", key="extract-name", placeholder="mine-motion", max_chars=60,
            help="A store of that name which is there already is gone on with.",
        )  # fmt: skip
        workers = st.number_input("Decoder processes", 1, 64, 2, key="extract-workers")
        if st.form_submit_button("Extract", icon=":material/play_arrow:", type="primary"):
            _attempt(lambda: holdings.extract(source or "", encoder, name, int(workers)))
    follow(jobs.jobs("extract")[:5], "extract")


def trained() -> None:
    st.markdown("**Runs**", help="Trained models. They are made on the page Train.")
    rows = [
        {"name": told.name, "state": told.state, "trained on": told.config.domain if told.config else "",
         "size": size(holdings.size(told.folder)), "place": SHIPPED if told.shipped else OWN}
        for told in runs().values()
    ]  # fmt: skip
    _table(rows, "Runs with what they were trained on", "There is no run yet.")
    st.markdown("**Scored data sets**", help="A run's scores of a data set. They are made on the page Evaluate.")
    rows = [
        {"name": name, "run": item.about["run"] or "none", "data set": item.about["dataset"],
         "clips": item.about["clips"], "classes": item.about["classes"],
         "modalities": ", ".join(item.about["modalities"]), "size": size(holdings.size(item.folder)),
         "place": SHIPPED if models.SHIPPED in item.folder.parents else OWN}
        for name, item in scored.scored_sets().items()
    ]  # fmt: skip
    _table(rows, "Scored data sets with their clips and classes", "Nothing has been scored yet.")


def all_encoders() -> None:
    st.caption("Encoders turn frames into features or captions, and words into vectors. Others are fetched once.")
    kinds = {"frames": "Frame encoders", "sentences": "Sentence encoders", "captions": "Captioners"}
    for kind, title in kinds.items():
        st.subheader(title, anchor=False)
        with st.container(key=f"encoders-{kind}"):
            for status in (card for card in encoders.CARDS.values() if card.kind == kind):
                where = f"{'Is' if status.present else 'Would be'} in {status.where}"
                told = [f"Trained on {status.domain}", status.gives, status.size, status.facts, where]
                with st.container(border=True, gap="small"):
                    st.markdown(f"**{plain(status.name)}** {PRESENT if status.present else ABSENT}")
                    st.markdown(plain(". ".join(text[:1].upper() + text[1:] for text in told if text)))
                    if not status.present:
                        fetch_button(status.name)
    with st.container(border=True):
        st.markdown("**Another one of the hub**")
        name = st.text_input(
            "Encoder", key="other-encoder",
            placeholder="open_clip:ViT-L-16-SigLIP2-256, timm:resnet50.a1_in1k, all-mpnet-base-v2",
            help="video:, open_clip: or clip:<model> for pictures and words, timm:<model> for images, caption:<model> "
            "for captions, else sentences.",
        ).strip()  # fmt: skip
        if not name:
            return
        try:
            model = name.partition(":")[2] or name
            if Path(model).is_dir() or (os.sep in model and not HUB_NAME.fullmatch(model)):
                given(model, "encoder")
            if (place := encoders.located(name)) is not None or encoders.present(name):
                st.caption(f"{plain(name)} is here: {plain(str(place or 'embedded'))}")
            else:
                fetch_button(name)
        except (CezsarError, RuntimeError) as error:
            show.error(error)


def fetch_button(name: str) -> None:
    """A button that fetches an encoder which is not here, or how far the fetching of its weights is."""
    card = encoders.card(name)
    licence = cache.once(lambda: licence_of(name), "licence", name, int(time.time() // 600))
    words = f"{name.rpartition(':')[2]} ({card.size}, licence {licence})"
    help = f"Downloads {card.repository} once; can be stopped and resumed. Without a network it says what to do."
    step, about = jobs.Step("fetching", ["fetch", "--", name]), {"encoder": name}
    offer("fetch", f"Fetch {words}", f"Fetching {words}", step, about, help=help, icon=DOWNLOAD, at_once=True)


def disk() -> None:
    sizes = holdings.sizes()
    st.markdown(f"The workspace is {plain(str(workspace.home().resolve()))}, {size(sum(sizes.values()))} in all.")
    rows = [{"folder": name, "MB": n / 1e6, "holds": holdings.MEANING[name]} for name, n in sizes.items()]
    most = max([1.0, *(n / 1e6 for n in sizes.values())])
    bar = st.column_config.ProgressColumn(format="%.1f", min_value=0, max_value=most)
    _table(rows, "Size of each folder", "It is empty: nothing to remove.", column_config={"MB": bar})
    items = {f"{path.parent.name}/{path.name}": path for path in holdings.removable()}
    chosen = st.selectbox("Remove", list(items), None, key="remove-which", placeholder="choose what you no longer need")
    if st.button("Remove …", icon=":material/delete:", disabled=chosen is None, key="remove") and chosen is not None:
        confirm(items[chosen])


@st.dialog("Remove for good?")
def confirm(path: Path) -> None:
    """Names what is lost, and removes it once that is confirmed."""
    kind = path.name if path.parent == workspace.home() else path.parent.name
    st.markdown(f"**{plain(path.name)}** will be removed: {size(holdings.size(path))} of {holdings.MEANING[kind]}.")
    st.caption(f"{plain(str(path.resolve()))}. There is no undo.")
    with st.container(horizontal=True):
        if st.button("Remove it", type="primary", icon=":material/delete:", key="remove-confirmed"):
            _attempt(lambda: holdings.remove(path))
        if st.button("Keep it", key="remove-not"):
            st.rerun()
