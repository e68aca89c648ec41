"""The page Library: what this workspace holds, what it weighs, and how to get more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.library import descriptions, workshop
from app.parts import holdings, models, scored, show
from app.parts.choosers import segments
from app.parts.holdings import captions
from app.parts.jobs import follow
from app.parts.preparation import prepare_demo
from app.parts.runs import runs
from app.parts.words import plain, size
from cezsar import encoders, jobs, workspace
from cezsar.data import datasets
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, layout

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


def _table(rows: Sequence[dict[str, Any]], alt: str, none: str) -> None:
    if rows:
        show.table(rows, alt)
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
            _attempt(lambda: datasets.register(name, source.strip()))
    with right:
        if own := list(datasets.registered()):
            with st.container(border=True):
                st.markdown("**Take a data set off the list**")
                chosen = st.selectbox("Data set", own, key="unregister-name")

                def take_off() -> None:
                    datasets.forget(chosen)

                st.button("Take off", "unregister", "Its files stay.", icon=":material/close:", on_click=take_off)
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
        {"name": store.name, "videos": store.videos, "seconds": store.seconds, "encoder": store.encoder,
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
    rows: list[dict[str, Any]] = []
    for told in runs().values():
        row = dict.fromkeys(("trained on", "features", "sentences"), "")
        if own := told.config:
            row = {"trained on": own.domain, "features": own.feature_encoder["name"],
                   "sentences": own.sentence_encoder["name"]}  # fmt: skip
        place = SHIPPED if told.shipped else OWN
        weighs = size(holdings.size(told.folder))
        rows.append({"name": told.name, "state": told.state, **row, "size": weighs, "place": place})
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
    st.caption("Encoders turn frames into features, and words into vectors. What is not here is fetched once.")
    for kind, title in (("frames", "Frame encoders"), ("sentences", "Sentence encoders")):
        st.subheader(title, anchor=False)
        with st.container(key=f"encoders-{kind}"):
            for status in (card for card in encoders.CARDS.values() if card.kind == kind):
                verb = "" if status.gives.startswith("ranks") else "gives "
                gives = f" It {verb}{status.gives}." if status.gives else ""
                where = f"{'Is' if status.present else 'Would be'} in {status.where}"
                with st.container(border=True, gap="small"):
                    st.markdown(f"**{plain(status.name)}** {PRESENT if status.present else ABSENT}")
                    st.markdown(plain(f"Trained on {status.domain}.{gives}"))
                    st.caption(plain(". ".join([status.size, *filter(None, [status.facts]), where])))
                    if not status.present:
                        fetch_button(status.name, f"fetch-{status.name}")
    with st.container(border=True):
        st.markdown("**Another one of the hub**")
        name = st.text_input(
            "Encoder", key="other-encoder",
            placeholder="open_clip:ViT-L-16-SigLIP2-256, timm:resnet50.a1_in1k, all-mpnet-base-v2",
            help="video:, open_clip: or clip:<model> for pictures and words, timm:<model> for images, else sentences.",
        ).strip()  # fmt: skip
        if not name:
            return
        try:
            if (place := encoders.located(name)) is not None or encoders.present(name):
                st.caption(f"{plain(name)} is here: {plain(str(place or 'embedded'))}")
            else:
                fetch_button(name, "fetch-other")
        except (CezsarError, RuntimeError) as error:
            show.error(error)


def fetch_button(name: str, key: str) -> None:
    """A button that fetches an encoder which is not here, or how far the latest fetching of its weights is."""
    card = encoders.card(name)
    words = f"{name.rpartition(':')[2]} ({card.size})"

    def latest() -> jobs.Job | None:
        tried = [(job, str(job.about.get("encoder", ""))) for job in jobs.jobs("fetch")]
        return next((job for job, of in tried if of and encoders.card(of).repository == card.repository), None)

    def start() -> None:
        if (job := latest()) is None or not job.alive:  # in another browser
            step = jobs.Step("fetching", ["fetch", name])
            jobs.start("fetch", f"Fetching {words}", [step], about={"encoder": name}, at_once=True)

    if (job := latest()) is not None and job.state != "done":  # done and absent: removed since
        follow([job], key)
    elif jobs.possible():
        st.button(
            f"Fetch {words}", f"{key}-start", icon=":material/download:", on_click=start,
            help=f"Downloads {card.repository} once; can be stopped and resumed. Without a network it says what to do.",
        )  # fmt: skip
    else:
        st.code(f"cezsar fetch {name}", language="bash")


def disk() -> None:
    sizes = holdings.sizes()
    st.markdown(f"The workspace is {plain(str(workspace.home().resolve()))}, {size(sum(sizes.values()))} in all.")
    if not sizes:
        show.info("It is empty: nothing to remove.")
        return
    megabytes = [value / 1e6 for value in sizes.values()]
    bars = go.Figure(go.Bar(
        x=megabytes, y=list(sizes), orientation="h", marker={"color": COLOURS[0]}, cliponaxis=False,
        text=[f"{value:,.1f} MB" for value in megabytes], textposition="outside",
        hovertemplate="%{y}: %{x:,.1f} MB<extra></extra>",
    ))  # fmt: skip
    layout(bars, 34 * len(sizes) + 90, x="size (MB)").update_yaxes(autorange="reversed")
    bars.update_xaxes(range=[0, 1.2 * max(megabytes) or 1.0])
    show.figure(bars, "disk", "Size of each folder: " + ", ".join(f"{name} {size(n)}" for name, n in sizes.items()))
    st.caption(". ".join(f"**{name}**: {holdings.MEANING[name]}" for name in sizes) + ".")
    items = {f"{item.kind} {item.name}": item for item in holdings.removable()}
    if not items:
        return
    chosen = st.selectbox(
        "Remove", list(items), index=None, key="remove-which", placeholder="choose what you no longer need",
        format_func=lambda name: f"{name} ({size(holdings.size(items[name].path))})",
    )  # fmt: skip
    if st.button("Remove …", icon=":material/delete:", disabled=chosen is None, key="remove") and chosen is not None:
        confirm(items[chosen])


@st.dialog("Remove for good?")
def confirm(item: holdings.Item) -> None:
    """Names what is lost, and removes it once that is confirmed."""
    st.markdown(f"**{item.kind.capitalize()} {plain(item.name)}** will be removed: {plain(item.loses)}.")
    back = size(holdings.size(item.path))
    st.caption(f"{plain(str(item.path.resolve()))}. That gives back {back}. There is no undo.")
    with st.container(horizontal=True):
        if st.button("Remove it", type="primary", icon=":material/delete:", key="remove-confirmed"):
            _attempt(lambda: holdings.remove(item.path))
        if st.button("Keep it", key="remove-not"):
            st.rerun()
