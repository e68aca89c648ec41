"""A form that has a run score another data set, and the jobs it started."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.parts import holdings, show
from app.parts.access import given
from app.parts.jobs import follow
from app.parts.models import SHIPPED, run_folders
from cezsar import jobs
from cezsar.errors import InputError

STAGES = {"embedding clips": 8.0, "scoring": 2.0}  # of `cezsar evaluate`, with their shares of its time


def running() -> None:
    """Evaluations that are running, and the last few that have ended."""
    follow([job for n, job in enumerate(jobs.jobs("evaluate")) if job.alive or n < 3], "evaluations")


def another() -> None:
    """The form."""
    st.caption(
        "A run, or a method without training, is applied to every clip of a labelled data set whose features have been "
        "extracted, in seconds to some minutes. The result is listed here, and on Semantic gap, Confusion and Tune."
    )
    runs, named, stores = ways(), {}, {store.name: str(store.folder.absolute()) for store in holdings.stores()}
    with show.explained():
        named = holdings.sources()
    with st.form("another", border=False, enter_to_submit=False):
        left, right = st.columns(2, gap="large")
        by = left.selectbox(
            "Trained run or method", list(runs), format_func=runs.__getitem__,
            help="Methods without training compare clips with labels by their objects, their captions, or a model of "
            "pictures and words.",
        )  # fmt: skip
        dataset = left.selectbox(
            "Data set", list(named), accept_new_options=True, placeholder="or type /path/to/data",
            index=0 if named else None,
            help="One that is named on the page Library, or a path on the machine of this app: a folder with a folder "
            "of clips for each class, a CSV with a label column, or an index {class: [clip ids]} in JSON.",
        )  # fmt: skip
        descriptions = left.text_input(
            "Class descriptions (optional)", placeholder="/path/to/descriptions.json",
            help="JSON {class: sentence or sentences}, or a folder of .txt; else the data set's, or the class names.",
        )  # fmt: skip
        store = right.selectbox(
            "Feature store of its clips", list(stores), index=0 if stores else None, accept_new_options=True,
            placeholder="or type /path/to/features",
            help="What `cezsar extract` wrote, with the run's encoder. Captions alone need none.",
        )  # fmt: skip
        captions = right.text_area(
            "Caption files, one to a line (optional)", height=98, placeholder="/path/to/captions.json",
            help="Their sentences become the modality C. `cezsar caption` writes such files.",
        )  # fmt: skip
        asked = st.form_submit_button("Evaluate", type="primary", icon=":material/play_arrow:")
    if asked:
        with show.explained():
            place = stores.get(store or "", store or "")
            start(by, place, named.get(dataset or "", dataset or ""), captions, descriptions)


def ways() -> dict[str, str]:
    """Folder -> name of every run that has weights, then method -> title of those that do without a run."""
    from cezsar.zeroshot.methods import METHODS

    whole = [folder for folder in run_folders() if (folder / "model.safetensors").is_file()]
    found = {str(folder): folder.name for folder in whole if not (folder / "state.pt").exists()}
    found["cezsar"] = "No run: objects and captions in the sentence encoder's space"
    return found | {name: f"{method.title}: no run" for name, method in METHODS.items() if method.weights is not None}


def start(by: str, store: str, dataset: str, captions: str = "", descriptions: str = "") -> jobs.Job:
    """Start `cezsar evaluate` as a job. `by` is a run's folder or a method that does without; `captions` are files, one
    to a line. Raises `InputError` for a path that is not there; all else is said by the command."""
    from cezsar.data.datasets import file_name
    from cezsar.zeroshot.methods import METHODS

    named = {"demo", *holdings.sources().values()}  # by the server's owner, wherever they lie
    data = dataset if dataset in named else _existing(dataset, "data set")
    words = ["evaluate", "--dataset", data, "--protocol", "all", "--keep"]
    if store.strip():
        own = any(store == str(one.folder.absolute()) for one in holdings.stores())
        words += ["--store", store if own else _existing(store, "feature store")]
    if by in METHODS:
        words += ["--method", by]
    else:
        words += ["--run", by]
        if SHIPPED not in Path(by).parents:  # what is shipped stays as it is
            words += ["--out", str(Path(by) / "results" / f"{file_name(data)}.json")]
    for line in captions.splitlines():
        words += ["--captions", _existing(line, "caption file")] if line.strip() else []
    words += ["--prototypes", _existing(descriptions, "class descriptions")] if descriptions.strip() else []
    title = f"{METHODS[by].title if by in METHODS else Path(by).name} on {Path(data).name}"
    return jobs.start("evaluate", title, [jobs.Step("evaluating", words, STAGES)])


def _existing(text: str, what: str) -> str:
    path = given(text, what)
    if not path.exists():
        raise InputError(f"{what}: there is no {text.strip()} on the machine of this app; check the path")
    return str(path)
