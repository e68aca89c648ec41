"""A form that has a run score another data set, and the jobs it started."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import state
from app.parts import scored, show
from app.parts.jobs import follow
from app.parts.models import SHIPPED, run_folders
from app.parts.words import plain
from cezsar import jobs, workspace
from cezsar.errors import InputError
from cezsar.zeroshot.scored import folder_for

STAGES = {"embedding clips": 8.0, "scoring": 2.0}  # of `cezsar evaluate`, with their shares of its time
FOLLOWED = "evaluations-followed"  # ids of jobs that were alive when this session last looked
ELSEWHERE, DEMO = "another folder", "demo"


def take_finished() -> None:
    """Choose the scored set of an evaluation that has just ended, before the widget that chooses sets is drawn."""
    listed, sets = jobs.jobs("evaluate"), scored.scored_sets()
    followed: set[str] = st.session_state.get(FOLLOWED, set())
    for job in listed:
        if job.id in followed and job.state == "done" and (name := job.about.get("scored")) in sets:
            st.session_state[state.ON] = name
            st.toast(f"{plain(job.title)}: done", icon=":material/check:")
            break
    st.session_state[FOLLOWED] = {job.id for job in listed if job.alive}


def running() -> None:
    """Evaluations that are running, and the last few that have ended."""
    listed = jobs.jobs("evaluate")
    alive = [job for job in listed if job.alive]
    st.session_state[FOLLOWED] = {job.id for job in alive}
    if shown := alive + [job for job in listed if not job.alive][:3]:
        follow(shown, "evaluations")


def another() -> None:
    """The form."""
    from cezsar.data.datasets import places

    st.caption(
        "A run, or a method without training, is applied to every clip of a labelled data set whose features have been "
        "extracted, in seconds to some minutes. The result is listed here, and on Semantic gap, Confusion and Tune."
    )
    runs, named = ways(), {DEMO: DEMO}
    stores = sorted({str(shard.parent) for shard in workspace.folder("features").glob("*/shard-*.h5")})
    with show.explained():
        named |= places()
    with st.form("another", border=False, enter_to_submit=False):
        left, right = st.columns(2, gap="large")
        by = left.selectbox(
            "Trained run or method", list(runs), format_func=runs.__getitem__,
            help="Methods without training compare clips with labels by their objects, their captions, or a model of "
            "pictures and words.",
        )  # fmt: skip
        dataset = left.selectbox(
            "Data set", list(named), format_func=lambda name: "the stick-figure world" if name == DEMO else name,
            help="The demo's test clips, those named on the page Library, and published ones in the folder `data`.",
        )  # fmt: skip
        path = left.text_input(
            "or the path of another data set", placeholder="/path/to/data",
            help="Counts when it is filled in. On the machine of this app: a folder with a folder of clips for each "
            "class, a CSV with a label column, or an index {class: [clip ids]} in JSON.",
        )  # fmt: skip
        descriptions = left.text_input(
            "Class descriptions (optional)", placeholder="/path/to/descriptions.json",
            help="JSON {class: sentence or sentences}, or a folder of .txt; else the data set's, or the class names.",
        )  # fmt: skip
        store = right.selectbox(
            "Feature store of its clips", [*stores, ELSEWHERE], format_func=lambda folder: Path(folder).name,
            help="What `cezsar extract` wrote, with the run's encoder. Captions alone need none.",
        )  # fmt: skip
        help = "Counts when it is filled in."
        elsewhere = right.text_input("or the folder of another store", placeholder="/path/to/features", help=help)
        captions = right.text_area(
            "Caption files, one to a line (optional)", height=98, placeholder="/path/to/captions.json",
            help="Their sentences become the modality C.",
        )  # fmt: skip
        asked = st.form_submit_button("Evaluate", type="primary", icon=":material/play_arrow:")
    if asked:
        chosen = elsewhere.strip() or (store if store != ELSEWHERE else "")
        with show.explained():
            start(by, chosen, path.strip() or named[dataset], captions, descriptions)


def ways() -> dict[str, str]:
    """Folder -> name of every run that has weights, then method -> title of those that do without a run."""
    from cezsar.zeroshot.methods import METHODS

    whole = [folder for folder in run_folders() if (folder / "model.safetensors").is_file()]
    found = {str(folder): folder.name for folder in whole if not (folder / "state.pt").exists()}
    found["cezsar"] = "No run: objects and captions in the sentence encoder's space"
    return found | {name: f"{method.title}: no run" for name, method in METHODS.items() if method.weights is not None}


def start(by: str, store_folder: str, named: str, captions: str = "", descriptions: str = "") -> jobs.Job:
    """Check what is asked for, and start it as a job; it ends with a new scored set of name `about["scored"]`.

    `by` is a run's folder or a method that does without; `named` is "demo", a folder of class folders, a CSV manifest
    or an index; `captions` are files, one to a line; `descriptions` are JSON {class: sentences} or a folder of .txt, ""
    for the data set's own. Raises `CezsarError` where something is missing or does not fit together.
    """
    from cezsar.data.datasets import file_name, open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import METHODS

    named, spoken = named.strip(), [line.strip() for line in captions.splitlines() if line.strip()]
    run = None if by in METHODS else Run.open(by)
    if not named or not (store_folder.strip() or (run is None and spoken)):
        raise InputError("a data set and a feature store of its clips are needed; give both")
    dataset = named if named == DEMO else str(_existing(named, "data set"))
    words = ["evaluate", "--dataset", dataset, "--protocol", "all", "--keep"]
    if store_folder.strip():
        store, clips = FeatureStore(_existing(store_folder, "feature store")), open_dataset(dataset).labels
        if run is not None:
            run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
        if not any(clip in store for clip in clips):
            raise InputError(f"none of the {len(clips):,} clips of {named} is in {store.folder}; extract them first")
        words += ["--store", str(store.folder.resolve())]
    if run is None:
        words += ["--method", by]
    else:
        folder = run.folder.resolve()
        words += ["--run", str(folder)]
        if not folder.is_relative_to(SHIPPED.resolve()):  # what is shipped stays as it is
            words += ["--out", str(folder / "results" / f"{file_name(dataset)}.json")]
    for line in spoken:
        words += ["--captions", str(_existing(line, "caption file"))]
    if descriptions.strip():
        words += ["--prototypes", str(_existing(descriptions, "class descriptions"))]
    title = f"{run.name if run else METHODS[by].title} on {Path(dataset).name}"
    about = {"scored": folder_for(run, dataset, method=by).name}
    return jobs.start("evaluate", title, [jobs.Step("evaluating", words, STAGES)], about=about)


def _existing(text: str, what: str) -> Path:
    path = Path(text.strip()).expanduser().resolve()
    if not path.exists():
        raise InputError(f"{what}: there is no {path} on the machine of this app; check the path")
    return path
