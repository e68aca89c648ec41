"""What the workspace holds, section by section: data sets, stores, runs, encoders, and what they weigh."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app.charts.library import disk_figure
from app.charts.style import PLOT
from app.services import library, models, runs, scored, train
from app.widgets import fetching
from app.widgets.jobs import follow
from app.widgets.preparation import prepare_demo
from app.widgets.words import plain, sentence, size
from cezsar import encoders, jobs, workspace
from cezsar.errors import CezsarError

PRESENT, ABSENT = ":green-badge[:material/check: present]", ":gray-badge[:material/cloud_download: not here]"


# Data sets -----------------------------------------------------------------------------------------------------------


def data_sets() -> None:
    """Labelled data sets, annotation files, and the demo built from scratch."""
    st.caption(
        "Clips with class names, to evaluate runs on: a folder of class folders, a CSV with the columns path, id and "
        'label, or an index {"class": ["clip id", ...]} as JSON. Their files stay where they are.'
    )
    shipped = library.shipped_demo()
    rows = [] if shipped is None else [_data_set(shipped, "came with the software; its clips are drawn when looked at")]
    for item in library.data_sets():
        rows.append(_data_set(item, "the workspace" if item.source == "demo" else item.source))
    _table_or_word(
        rows, "Data sets with their clips, classes and feature stores", "No data set has been named yet: add one below."
    )
    left, right = st.columns(2, gap="large")
    with left, st.form("register", clear_on_submit=False):
        st.markdown("**Add a data set**")
        name = st.text_input("Name", key="register-name", placeholder="ucf101", max_chars=60)
        source = st.text_input(
            "Folder, CSV or index file on the machine of this app", key="register-source", placeholder="/data/UCF-101"
        )
        if st.form_submit_button("Add", icon=":material/add:"):
            _attempt(lambda: library.register(name, source))
    with right:
        _forget()
        _annotations()
    st.subheader("The demo", anchor=False)
    if (workspace.folder("demo") / "test").is_dir() and not any(job.alive for job in jobs.jobs("demo")):
        st.caption(
            "The stick-figure world is in this workspace: videos, features, runs and scores. To build it anew, remove "
            "what you want to be made again under Disk use first."
        )
    else:
        prepare_demo()


def _data_set(item: library.DataSet, place: str) -> dict[str, object]:
    return {
        "name": item.name,
        "clips": item.clips,
        "classes": item.classes,
        "feature stores with all clips": ", ".join(item.stores) or "none yet",
        "place": place,
        "note": item.error,
    }


def _forget() -> None:
    own = list(library.registered())
    if not own:
        return
    with st.container(border=True):
        st.markdown("**Take a data set off the list**")
        name = st.selectbox("Data set", own, key="unregister-name")
        st.button(
            "Take off", icon=":material/close:", on_click=library.unregister, args=(name,), help="Its files stay.",
            key="unregister",
        )  # fmt: skip


def _annotations() -> None:
    with st.container(border=True):
        st.markdown("**Annotation files**", help="Captions with timestamps, in the form of ActivityNet Captions.")
        files = train.captions()
        for item in files.values():
            st.markdown(f"{plain(item.name)} :gray[{item.sentences:,} sentences of {len(item.ids):,} videos]")
        if not files:
            st.caption("None yet: the page Train takes them as uploads, and the demo brings its own.")


# Feature stores ------------------------------------------------------------------------------------------------------


def feature_stores() -> None:
    """Stores of the workspace, and a form that makes one."""
    st.caption(
        "Frames are encoded once, one row for each second of video; training and evaluation read the rows and never "
        "the video. A store belongs to one encoder."
    )
    found = library.stores()
    rows = [
        {
            "name": store.name,
            "videos": store.videos,
            "seconds": store.seconds,
            "encoder": store.encoder,
            "width of a row": store.dim,
            "objects": f"of {store.objects:,}" if store.objects else "none",
            "size": size(library.size(store.folder)),
            "note": store.error,
        }
        for store in found
    ]
    if rows:
        st.dataframe(rows, hide_index=True, alt="Feature stores with videos, seconds, encoder and size")
    else:
        st.info("No features have been extracted yet.", icon=":material/info:")
    there = [status.name for status in encoders.available() if status.kind == "frames" and status.present]
    known = [item.source for item in library.data_sets() if not item.error]
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
            _attempt(lambda: library.extract(source or "", encoder, name, int(workers)))
    follow(jobs.jobs("extract")[:5], "extract")


# Runs and scores -----------------------------------------------------------------------------------------------------


def trained() -> None:
    """Runs and scored data sets, those that came with the software among them."""
    st.markdown("**Runs**", help="Trained models. They are made on the page Train.")
    rows = [
        {
            "name": told.name,
            "state": told.state,
            "trained on": told.config.domain if told.config else "",
            "features": told.config.feature_encoder["name"] if told.config else "",
            "sentences": told.config.sentence_encoder["name"] if told.config else "",
            "size": size(library.size(told.folder)),
            "place": "came with the software" if told.shipped else "the workspace",
        }
        for told in runs.runs().values()
    ]
    _table_or_word(rows, "Runs with what they were trained on", "There is no run yet.")
    st.markdown("**Scored data sets**", help="A run's scores of a data set. They are made on the page Evaluate.")
    rows = [
        {
            "name": name,
            "run": item.about["run"] or "none",
            "data set": item.about["dataset"],
            "clips": item.about["clips"],
            "classes": item.about["classes"],
            "modalities": ", ".join(item.about["modalities"]),
            "size": size(library.size(item.folder)),
            "place": "came with the software" if models.SHIPPED in item.folder.parents else "the workspace",
        }
        for name, item in scored.scored_sets().items()
    ]
    _table_or_word(rows, "Scored data sets with their clips and classes", "Nothing has been scored yet.")


def _table_or_word(rows: Sequence[dict[str, object]], alt: str, word: str) -> None:
    if rows:
        st.dataframe(list(rows), hide_index=True, alt=alt)
    else:
        st.info(word, icon=":material/info:")


# Encoders ------------------------------------------------------------------------------------------------------------


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
        )  # fmt: skip
        if name.strip():
            _other(name.strip())


def _encoder(status: encoders.EncoderStatus) -> None:
    entry = encoders.card(status.name)
    with st.container(border=True, gap="small"):
        st.markdown(f"**{plain(status.name)}** {PRESENT if status.present else ABSENT}")
        gives = (
            f" It {entry.gives}." if entry.gives.startswith("ranks") else f" Gives {entry.gives}." * bool(entry.gives)
        )
        st.markdown(f"Trained on {plain(status.domain)}.{plain(gives)}")
        facts = f". {entry.facts}" if entry.facts else ""
        st.caption(f"{status.size}{plain(facts)}. {'Is' if status.present else 'Would be'} in {plain(status.where)}")
        if not status.present:
            fetching.offer(status.name, f"fetch-{status.name}")


def _other(name: str) -> None:
    try:
        if (place := encoders.located(name)) is not None or encoders.present(name):
            st.caption(f"{plain(name)} is here: {plain(str(place or 'embedded'))}")
        else:
            fetching.offer(name, "fetch-other")
    except (CezsarError, RuntimeError) as error:
        st.error(sentence(error), icon=":material/error:")


# Disk use ------------------------------------------------------------------------------------------------------------


def disk() -> None:
    """A bar for each folder, and what can be removed."""
    sizes = library.sizes()
    st.markdown(f"The workspace is {plain(str(workspace.home().resolve()))}, {size(sum(sizes.values()))} in all.")
    if not sizes:
        st.info("It is empty: nothing to remove.", icon=":material/info:")
        return
    st.plotly_chart(
        disk_figure(sizes),
        key="disk",
        config=PLOT,
        alt="Size of each folder: " + ", ".join(f"{name} {size(value)}" for name, value in sizes.items()),
    )
    st.caption(". ".join(f"**{name}**: {library.MEANING[name]}" for name in sizes) + ".")
    items = {f"{item.kind} {item.name}": item for item in library.removable()}
    if not items:
        return
    chosen = st.selectbox(
        "Remove", list(items), index=None, key="remove-which", placeholder="choose what you no longer need",
        format_func=lambda name: f"{name} ({size(library.size(items[name].path))})",
    )  # fmt: skip
    if st.button("Remove …", icon=":material/delete:", disabled=chosen is None, key="remove") and chosen is not None:
        confirm(items[chosen])


@st.dialog("Remove for good?")
def confirm(item: library.Item) -> None:
    """Names what is lost, and removes it once that is confirmed."""
    st.markdown(f"**{item.kind.capitalize()} {plain(item.name)}** will be removed: {plain(item.loses)}.")
    st.caption(f"{plain(str(item.path.resolve()))}. That gives back {size(library.size(item.path))}. There is no undo.")
    with st.container(horizontal=True):
        if st.button("Remove it", type="primary", icon=":material/delete:", key="remove-confirmed"):
            _attempt(lambda: library.remove(item.path))
        if st.button("Keep it", key="remove-not"):
            st.rerun()


def _attempt(action: Callable[[], object]) -> None:
    """Do something that can fail for a reason worth showing, then draw the page anew."""
    try:
        action()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    st.rerun()
