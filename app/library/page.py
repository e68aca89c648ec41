"""The page Library: what this workspace holds, what it weighs, and how to get more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.library import descriptions, fetching, holdings, workshop
from app.parts import models, scored
from app.parts.jobs import follow
from app.parts.preparation import prepare_demo
from app.parts.words import plain, sentence, size
from app.train.runs import runs
from app.train.starting import captions
from cezsar import encoders, jobs, workspace
from cezsar.data import datasets
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, PLOT, layout

PRESENT, ABSENT = ":green-badge[:material/check: present]", ":gray-badge[:material/cloud_download: not here]"


def page() -> None:
    st.title("Library", anchor=False)
    st.markdown("Data sets, features, runs, encoders and class descriptions: what is here, and how to get more.")
    descriptions.choose_saved()
    section = st.segmented_control(
        "Section", list(state.SECTIONS), default="data", format_func=state.SECTIONS.__getitem__, required=True,
        key=state.SECTION, bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    shown = {
        "data": data_sets,
        "stores": feature_stores,
        "trained": trained,
        "encoders": all_encoders,
        "words": descriptions.section,
        "workshop": workshop.section,
        "disk": disk,
    }
    try:
        shown[section or "data"]()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")


def _table(rows: Sequence[dict[str, object]], alt: str, none: str) -> None:
    if rows:
        st.dataframe(list(rows), hide_index=True, alt=alt)
    else:
        st.info(none, icon=":material/info:")


def _attempt(action: Callable[[], object]) -> None:
    """Do something that can fail for a reason worth showing, then draw the page anew."""
    try:
        action()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    st.rerun()


def data_sets() -> None:
    """Labelled data sets, annotation files, and the demo built from scratch."""
    st.caption(
        "Clips with class names, to evaluate runs on: a folder of class folders, a CSV with the columns path, id and "
        'label, or an index {"class": ["clip id", ...]} as JSON. Their files stay where they are.'
    )
    shipped = holdings.shipped_demo()
    found = [] if shipped is None else [(shipped, "came with the software; its clips are drawn when looked at")]
    found += [(item, "the workspace" if item.source == "demo" else item.source) for item in holdings.data_sets()]
    rows: list[dict[str, object]] = [
        {
            "name": item.name,
            "clips": item.clips,
            "classes": item.classes,
            "feature stores with all clips": ", ".join(item.stores) or "none yet",
            "place": place,
            "note": item.error,
        }
        for item, place in found
    ]
    alt = "Data sets with their clips, classes and feature stores"
    _table(rows, alt, "No data set has been named yet: add one below.")
    left, right = st.columns(2, gap="large")
    with left, st.form("register", clear_on_submit=False):
        st.markdown("**Add a data set**")
        name = st.text_input("Name", key="register-name", placeholder="ucf101", max_chars=60)
        source = st.text_input(
            "Folder, CSV or index file on the machine of this app", key="register-source", placeholder="/data/UCF-101"
        )
        if st.form_submit_button("Add", icon=":material/add:"):
            _attempt(lambda: datasets.register(name, source.strip()))
    with right:
        if own := list(datasets.registered()):
            with st.container(border=True):
                st.markdown("**Take a data set off the list**")
                name = st.selectbox("Data set", own, key="unregister-name")
                st.button(
                    "Take off", icon=":material/close:", on_click=holdings.take_off, args=(name,),
                    help="Its files stay.", key="unregister",
                )  # fmt: skip
        with st.container(border=True):
            st.markdown("**Annotation files**", help="Captions with timestamps, in the form of ActivityNet Captions.")
            files = captions()
            for item in files.values():
                st.markdown(f"{plain(item.name)} :gray[{item.sentences:,} sentences of {len(item.ids):,} videos]")
            if not files:
                st.caption("None yet: the page Train takes them as uploads, and the demo brings its own.")
    st.subheader("The demo", anchor=False)
    if (workspace.folder("demo") / "test").is_dir() and not any(job.alive for job in jobs.jobs("demo")):
        st.caption(
            "The stick-figure world is in this workspace: videos, features, runs and scores. To build it anew, remove "
            "what you want to be made again under Disk use first."
        )
    else:
        prepare_demo()


def feature_stores() -> None:
    """Stores of the workspace, and a form that makes one."""
    st.caption(
        "Frames are encoded once, one row for each second of video; training and evaluation read the rows and never "
        "the video. A store belongs to one encoder."
    )
    rows: list[dict[str, object]] = [
        {
            "name": store.name,
            "videos": store.videos,
            "seconds": store.seconds,
            "encoder": store.encoder,
            "width of a row": store.dim,
            "objects": f"of {store.objects:,}" if store.objects else "none",
            "size": size(holdings.size(store.folder)),
            "note": store.error,
        }
        for store in holdings.stores()
    ]
    _table(rows, "Feature stores with videos, seconds, encoder and size", "No features have been extracted yet.")
    there = [status.name for status in encoders.available() if status.kind == "frames" and status.present]
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
    """Runs and scored data sets, those that came with the software among them."""
    st.markdown("**Runs**", help="Trained models. They are made on the page Train.")
    rows: list[dict[str, object]] = [
        {
            "name": told.name,
            "state": told.state,
            "trained on": told.config.domain if told.config else "",
            "features": told.config.feature_encoder["name"] if told.config else "",
            "sentences": told.config.sentence_encoder["name"] if told.config else "",
            "size": size(holdings.size(told.folder)),
            "place": "came with the software" if told.shipped else "the workspace",
        }
        for told in runs().values()
    ]
    _table(rows, "Runs with what they were trained on", "There is no run yet.")
    st.markdown("**Scored data sets**", help="A run's scores of a data set. They are made on the page Evaluate.")
    rows = [
        {
            "name": name,
            "run": item.about["run"] or "none",
            "data set": item.about["dataset"],
            "clips": item.about["clips"],
            "classes": item.about["classes"],
            "modalities": ", ".join(item.about["modalities"]),
            "size": size(holdings.size(item.folder)),
            "place": "came with the software" if models.SHIPPED in item.folder.parents else "the workspace",
        }
        for name, item in scored.scored_sets().items()
    ]
    _table(rows, "Scored data sets with their clips and classes", "Nothing has been scored yet.")


def all_encoders() -> None:
    """Every named encoder: here or not, where, how large; and any other of the hub."""
    st.caption(
        "Frame encoders turn frames into features, sentence encoders turn words into vectors. What is not here is "
        "fetched from the Hugging Face hub once, into the workspace; without a network, put its folder there by hand."
    )
    for kind, title in (("frames", "Frame encoders"), ("sentences", "Sentence encoders")):
        st.subheader(title, anchor=False)
        with st.container(key=f"encoders-{kind}"):
            for status in encoders.available():
                if status.kind == kind:
                    _encoder(status)
    with st.container(border=True):
        st.markdown("**Another one of the hub**")
        name = st.text_input(
            "Encoder", key="other-encoder",
            placeholder="open_clip:ViT-L-16-SigLIP2-256, timm:resnet50.a1_in1k, all-mpnet-base-v2",
            help="video:<model>, open_clip:<model> or clip:<model> for models of pictures and words, timm:<model> for "
            "image classifiers, else a sentence encoder.",
        ).strip()  # fmt: skip
        if not name:
            return
        try:
            if (place := encoders.located(name)) is not None or encoders.present(name):
                st.caption(f"{plain(name)} is here: {plain(str(place or 'embedded'))}")
            else:
                fetching.offer(name, "fetch-other")
        except (CezsarError, RuntimeError) as error:
            st.error(sentence(error), icon=":material/error:")


def _encoder(status: encoders.Card) -> None:
    gives = (status.gives if status.gives.startswith("ranks") else f"gives {status.gives}") if status.gives else ""
    with st.container(border=True, gap="small"):
        st.markdown(f"**{plain(status.name)}** {PRESENT if status.present else ABSENT}")
        st.markdown(f"Trained on {plain(status.domain)}." + (f" It {plain(gives)}." if gives else ""))
        facts = f". {status.facts}" if status.facts else ""
        st.caption(f"{status.size}{plain(facts)}. {'Is' if status.present else 'Would be'} in {plain(status.where)}")
        if not status.present:
            fetching.offer(status.name, f"fetch-{status.name}")


def disk() -> None:
    """A bar for each folder, and what can be removed."""
    sizes = holdings.sizes()
    st.markdown(f"The workspace is {plain(str(workspace.home().resolve()))}, {size(sum(sizes.values()))} in all.")
    if not sizes:
        st.info("It is empty: nothing to remove.", icon=":material/info:")
        return
    alt = "Size of each folder: " + ", ".join(f"{name} {size(value)}" for name, value in sizes.items())
    st.plotly_chart(_bars(sizes), key="disk", config=PLOT, alt=alt)
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


def _bars(sizes: dict[str, int]) -> go.Figure:
    megabytes = [bytes_ / 1e6 for bytes_ in sizes.values()]
    figure = go.Figure(
        go.Bar(
            x=megabytes, y=list(sizes), orientation="h", marker={"color": COLOURS[0]}, cliponaxis=False,
            text=[f"{value:,.1f} MB" for value in megabytes], textposition="outside",
            hovertemplate="%{y}: %{x:,.1f} MB<extra></extra>",
        )
    )  # fmt: skip
    layout(figure, 34 * len(sizes) + 60, x="size (MB)")
    figure.update_xaxes(range=[0, 1.2 * max(megabytes) or 1.0], fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    return figure


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
