"""The section Class descriptions: those of runs and label sets, and one's own, which are edited, imported, exported."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import streamlit as st

from app import state
from app.parts import holdings, labels, models, show
from app.parts.choosers import one_of
from app.parts.words import plain
from cezsar import world
from cezsar.data.datasets import KNOWN, checked_name, registered
from cezsar.data.descriptions import load_descriptions, of_files, save_descriptions
from cezsar.data.labels import spoken
from cezsar.data.prototype_checks import CheckReport
from cezsar.data.prototype_checks import check as find
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import CezsarError, FormatError, InputError

Described = dict[str, list[str]]

FEW, MOST = 6, 100  # findings of a kind that are shown at once, and at the most
COLUMNS = {
    "class": st.column_config.TextColumn(width="medium", help="A name in several rows has several sentences."),
    "sentence": st.column_config.TextColumn(width="large", help="What the action is, with which objects, where."),
}
_CHOSEN = "descriptions to show next"  # a widget's own key cannot be set once it is drawn
_CHECKED = "descriptions checked"  # (what was checked, its report) of this session


def sources() -> dict[str, Path | Described]:
    """Everything that describes classes by name: its file, or for the stick-figure world and label sets itself."""
    found: dict[str, Path | Described] = {"stick-figure world": {name: [it] for name, it in world.DESCRIPTIONS.items()}}
    for folder in models.run_folders():
        if (folder / "prototypes.json").is_file():
            found[f"run {folder.name}"] = folder / "prototypes.json"
    for known in labels.label_sets().values():
        if known.folder_file is None:
            found[known.title] = {name: [spoken(name)] for name in known.names}
        else:
            found[f"mine: {known.title}"] = known.folder_file
    return found


def read(source: str) -> Described:
    """Class -> sentences of one of `sources()`. Raises `CezsarError` if they cannot be read."""
    place = sources()[source]
    return place if isinstance(place, dict) else load_descriptions(place)


def save(name: str, described: Mapping[str, Sequence[str]], replace: bool = False) -> Path:
    """Keep descriptions in the workspace. Raises `InputError`: no such name is possible, or it is taken and `replace`
    is not given; `FormatError`: a class without a sentence, or in two spellings."""
    path = labels.own_folder() / f"{checked_name(name)}.json"
    if path.exists() and not replace:
        raise InputError(f"there are descriptions {name.strip()!r} already; choose another name, or edit those")
    if name.strip() in labels.TITLES:
        raise InputError(f"{name.strip()!r} is the name of a ready-made set; choose another")
    try:
        save_descriptions(path, described)
    except FormatError as error:
        raise FormatError(str(error).replace(str(path), name.strip())) from error
    return path


def of_rows(rows: Sequence[Mapping[str, object]]) -> Described:
    """Edited rows of "class" and "sentence" as descriptions; empty rows are passed over."""
    described: Described = {}
    for row in rows:
        name, said = (str(row.get(column) or "").strip() for column in ("class", "sentence"))
        if name or said:
            described.setdefault(name, []).append(said)
    return described


def rows_of(described: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """A row of "class" and "sentence" for each sentence."""
    return [{"class": name, "sentence": said} for name, given in described.items() for said in given]


def imported(files: Sequence[tuple[str, bytes]]) -> Described:
    """Descriptions from uploads: one JSON, one list of classes (.txt, .csv), or several .txt named after classes.
    Raises `CezsarError`, which names the file: of another kind, unusable."""
    names = [Path(name.replace("\\", "/")).name for name, _ in files]
    kinds = {Path(name).suffix.lower() for name in names}
    if not files or (kinds != {".txt"} and (not kinds <= {".json", ".csv"} or len(files) > 1)):
        raise InputError("give one .json, one .txt or .csv with a class to a line, or several .txt named after classes")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        paths = {Path(folder) / f"{row}{Path(name).suffix.lower()}": name for row, name in enumerate(names)}
        for path, (_, content) in zip(paths, files, strict=True):
            path.write_bytes(content)
        try:
            if len(files) == 1:
                return load_descriptions(*paths)
            return of_files("the folder", {path: Path(name).stem for path, name in paths.items()})
        except CezsarError as error:
            said = str(error)
            for path, name in paths.items():
                said = said.replace(str(path), name)
            raise type(error)(said) from error


def section() -> None:
    st.caption("A class is recognised by its prototype, a sentence's embedding (Eq. 6, 8); of several by the nearest.")
    source = one_of("Descriptions", list(sources()), state.DESCRIBED)
    with show.explained():
        _edit(source, read(source))
        _import()
        check(source)


def _edit(source: str, described: Described) -> None:
    rows = rows_of(described)
    own = source.removeprefix("mine: ") if source.startswith("mine: ") else ""
    how = "Edit them here." if own else "These are read-only: edit a copy, and save it under a name of your own."
    st.caption(f"{len(described):,} classes, {len(rows):,} sentences. {how}")
    edited = st.data_editor(
        rows, num_rows="dynamic", hide_index=True, column_config=COLUMNS, key=f"edited-{source}", width="stretch"
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Save as", value=own, key=f"save-as-{source}", placeholder="my-classes", max_chars=60)
        if st.button("Save", icon=":material/save:", key="save"):
            _keep(name, of_rows(edited), replace=bool(own) and name.strip() == own)
    with st.container(horizontal=True):
        text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        show.downloads(("Export JSON", f"{own or 'descriptions'}.json", text, ""))
        if st.button("Use on the page Classify", "use", "They become the labels there.", icon=":material/movie:"):
            state.put(state.LABELS, labels.written_with(described))
            st.switch_page("../pages/classify.py", query_params={})


def _keep(name: str, described: Described, replace: bool = False) -> None:
    st.session_state[_CHOSEN] = f"mine: {save(name, described, replace).stem}"
    st.rerun()


def choose_saved() -> None:
    """Show what was just saved; to be called before the section is drawn."""
    if _CHOSEN in st.session_state:
        st.session_state[state.DESCRIBED] = st.session_state.pop(_CHOSEN)


def _import() -> None:
    with st.expander("Import"), st.form("import", clear_on_submit=True):
        files = st.file_uploader(
            "Files", accept_multiple_files=True, type=["json", "txt", "csv"], key="described-files",
            help='A JSON file {"class": "sentence"} or {"class": ["sentences"]}, a list of classes, or a .txt of '
            "sentences for each class, named after it; several at once.",
        )  # fmt: skip
        name = st.text_input("Name", key="import-name", placeholder="my-classes", max_chars=60)
        if st.form_submit_button("Import", icon=":material/upload:"):
            _keep(name, imported([(file.name, file.getvalue()) for file in files]))


def check(source: str) -> None:
    st.subheader("What is wrong with them?", anchor=False)
    sets = {"": "no data set"} | {item.name: item.name for item in holdings.data_sets() if item.classes}
    sets |= {name: known.title for name, known in KNOWN.items() if known.classes}
    usual = next((name for name, title in labels.TITLES.items() if title == source), "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        told = "Missing and unknown classes are found by it."
        dataset = one_of("They should describe the classes of", sets, state.CHECKED_FOR, usual, help=told, width=320)
        asked = st.button("Check", icon=":material/fact_check:", key="check")
    wanted = (source, dataset, hashlib.sha256(json.dumps(read(source)).encode()).hexdigest())
    if asked:
        st.session_state[_CHECKED] = (wanted, _checked(source, dataset))
    done, report = st.session_state.get(_CHECKED, (None, None))
    if done == wanted and report is not None:
        _show(report)
    else:
        found = "Duplicates, missing and unknown classes, broken encodings, poor sentences, classes described alike"
        st.caption(f"{found}: each with what to do. What is saved is checked.")


def _checked(source: str, dataset: str) -> CheckReport:
    place = registered().get(dataset, dataset) or None
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder, st.spinner("Comparing sentences"):
        path = sources()[source]
        if isinstance(path, dict):
            described, path = path, Path(folder) / "descriptions.json"
            save_descriptions(path, described)
        return find(path, place, encoder=open_encoder("minilm"))


def _show(report: CheckReport) -> None:
    told = f"{report.sentences:,} sentences for {report.classes:,} classes"
    told += f"; the data set has {report.expected:,}" if report.dataset else ""
    if pair := report.nearest:
        one, other = (plain(name) for name in pair.classes)
        told += f". Described most alike are *{one}* and *{other}*: {pair.similarity:.2f} under {report.encoder}"
    if not report.findings:
        st.success("Nothing wrong was found.", icon=":material/check:")
        st.caption(f"{told}.")
        return
    st.markdown(f"**{len(report.findings):,} findings.** {told}.")
    for kind, group in groupby(report.findings, key=lambda finding: finding.kind):
        found = list(group)
        with st.expander(f"{str(kind).capitalize()} ({len(found):,})", expanded=len(found) <= FEW):
            lines = [
                f"- {plain(each.what)}. :gray["
                f"{plain(each.advice[:1].upper() + each.advice[1:])}{'' if each.advice.endswith('?') else '.'}]"
                for each in found[:MOST]
            ]
            st.markdown("\n".join(lines))
            if len(found) > MOST:
                st.caption(f"And {len(found) - MOST:,} more; `cezsar prototypes check` lists all.")
