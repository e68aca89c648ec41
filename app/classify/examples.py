"""Labels that are shown: clips and pictures dropped on a label, and sets of such labels that are kept without them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from app import state
from app.classify import answers
from app.classify.answers import Shown
from app.parts import clips, show
from app.parts import labels as label_sets
from app.parts.choosers import BY_NUMBER, one_of, share
from app.parts.models import Model, engine
from app.parts.reading import read
from app.parts.words import plain
from cezsar.data.datasets import checked_name
from cezsar.data.labels import canonical, spoken
from cezsar.errors import CezsarError, InputError
from cezsar.zeroshot.examples import Example, KeptLabels

POSTER_PX = 120
_GIVEN = "examples of labels"  # in the session: label in one spelling -> `Shown`
_DROPPED = "examples dropped"  # how often: each uploader has a key of its own, so that Streamlit lets go of the files
_SAID = "said of label sets"


def given() -> dict[str, Shown]:
    """What labels are shown by in this session; it ends with it."""
    found: dict[str, Shown] = st.session_state.setdefault(_GIVEN, {})
    return found


def ask(
    names: Sequence[str], model: Model, there: Mapping[str, Model], told: Mapping[str, Sequence[str]]
) -> dict[str, Shown]:
    """Which labels are shown by what; `model` embeds examples that are looked at or kept, `told` are the sentences of
    labels that were typed with some. What cannot be read is named, and counts for nothing."""
    _said()
    own = {name: given()[canonical(name)] for name in names if canonical(name) in given()}
    with st.expander("Labels by example", icon=":material/add_photo_alternate:", key="by-example", on_change="rerun"):
        st.caption("Clips or pictures of what a label means count beside its words. That is no zero-shot ranking.")
        label = one_of("Label", list(names), state.SHOWN_LABEL)
        st.file_uploader(
            f"Drop clips or pictures of {plain(label)}", accept_multiple_files=True, key=_uploader(),
            on_change=_add, args=(label,),
            help="They are read by the model that answers, stay on the machine that runs this app, and go when you do.",
        )  # fmt: skip
        usable = {name: readable for name, each in own.items() if (readable := _examples(name, each, model))}
        if label in usable:
            _share(label, usable[label])
        _sets(names, told, usable, model, there)
    return usable


def _uploader() -> str:
    return f"examples-{st.session_state.get(_DROPPED, 0)}"


def _add(label: str) -> None:
    before, files = given().get(canonical(label), Shown()), st.session_state[_uploader()]
    known = {each.content for each in before.kept}
    new = [*before.clips, *(clips.of_upload(file) for file in files if not clips.let_go(file))]
    once = {clip.digest: clip for clip in new if clip.digest not in known}  # the same film counts once
    given()[canonical(label)] = before._replace(clips=tuple(once.values()))
    st.session_state[_DROPPED] = st.session_state.get(_DROPPED, 0) + 1


def _remove(label: str, digest: str) -> None:
    before = given()[canonical(label)]
    after = before._replace(
        clips=tuple(clip for clip in before.clips if clip.digest != digest),
        kept=tuple(each for each in before.kept if each.content != digest),
    )
    if after.clips or after.kept:
        given()[canonical(label)] = after
    else:
        del given()[canonical(label)]


def _examples(label: str, shown: Shown, model: Model) -> Shown | None:
    """The examples of one label, each with a way to remove it; those that can be read, or None."""
    st.markdown(f"**{plain(label)}**")
    usable = list[clips.ClipFile]()
    with st.container(horizontal=True, key=f"shown-{canonical(label)}"):
        for kept in shown.kept:
            with _card(label, kept.name, kept.content):
                st.caption(":material/bookmark: kept, without its film")
        for clip in shown.clips:
            with _card(label, clip.name, clip.digest), show.explained(), st.spinner(f"Reading {plain(clip.name)}"):
                read(model, clip)
                st.image(clips.poster(clip), width=POSTER_PX, alt=f"An example of {label}")
                usable.append(clip)
    return shown._replace(clips=tuple(usable)) if usable or shown.kept else None


@contextmanager
def _card(label: str, name: str, digest: str) -> Iterator[None]:
    """What is seen of an example, and a button that removes it."""
    with st.container(width=POSTER_PX, gap="xxsmall"):
        yield
        st.button(
            plain(name), f"remove-{canonical(label)}-{digest[:16]}", "Remove this example", icon=":material/close:",
            type="tertiary", on_click=_remove, args=(label, digest),
        )  # fmt: skip


def _share(label: str, shown: Shown) -> None:
    key, number = f"share-{canonical(label)}", len(shown.clips) + len(shown.kept)

    def chosen() -> None:
        value = st.session_state[key]
        given()[canonical(label)] = given()[canonical(label)]._replace(share=None if value == BY_NUMBER else value)

    share(label, number, value=BY_NUMBER if shown.share is None else shown.share, key=key, on_change=chosen)


# Label sets that are kept --------------------------------------------------------------------------------------------


def kept_sets() -> dict[str, Path]:
    """Label sets of the workspace by name."""
    return {path.stem: path for path in sorted(label_sets.own_folder().glob("[!.]*.safetensors"))}


def _sets(names: Sequence[str], told: Mapping[str, Sequence[str]], shown: Mapping[str, Shown], model: Model,
          there: Mapping[str, Model]) -> None:  # fmt: skip
    sets, key = kept_sets(), "name of a label set"
    if shown:

        def made() -> KeptLabels:
            whole = answers.labels_for(model, told or names, shown)
            with (loaded := engine(model)).lock:
                return loaded.classifier.label_set(whole)

        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Keep all labels as", key=key, placeholder="my-labels", max_chars=60,
                          help="With what the examples became for this model, without any film.")  # fmt: skip
            st.button("Keep", icon=":material/save:", key="keep-labels", on_click=_keep, args=(key, made))
        show.downloads(("Export them", "labels.safetensors", lambda: _bytes(made()), "For others, and `--prototypes`."))
    if sets:
        chosen = one_of("Kept label sets", list(sets), state.KEPT_LABELS)
        with st.container(horizontal=True):
            st.button("Use", icon=":material/input:", key="use-labels", on_click=_use, args=(sets[chosen], there))
            st.button("Delete", icon=":material/delete:", key="delete-labels", on_click=_delete, args=(sets[chosen],))
    st.file_uploader(
        "Or use an exported one", type="safetensors", key=f"label-set-{st.session_state.get(_DROPPED, 0)}",
        on_change=_import, args=(there,),
    )  # fmt: skip


def _said() -> None:
    """What came of the last press of a button."""
    said = st.session_state.pop(_SAID, None)
    if isinstance(said, CezsarError):
        show.error(said)
    elif said:
        st.toast(said, icon=":material/check:")


def _keep(key: str, made: Callable[[], KeptLabels]) -> None:
    try:
        name = checked_name(str(st.session_state.get(key) or ""))
        path = label_sets.own_folder() / f"{name}.safetensors"
        if path.exists():
            raise InputError(f"there are labels {name!r} already; choose another name, or delete those")
        made().save(path)
    except CezsarError as error:
        st.session_state[_SAID] = error
        return
    st.session_state.update({state.KEPT_LABELS: name, key: "", _SAID: f"Kept as {plain(name)}, without films."})


def _bytes(kept: KeptLabels) -> bytes:
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        kept.save(path := Path(folder) / "labels.safetensors")
        return path.read_bytes()


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    st.session_state[_SAID] = f"Deleted {plain(path.stem)}."


def _import(there: Mapping[str, Model]) -> None:
    file = st.session_state[f"label-set-{st.session_state.get(_DROPPED, 0)}"]
    st.session_state[_DROPPED] = st.session_state.get(_DROPPED, 0) + 1
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        (path := Path(folder) / "labels.safetensors").write_bytes(file.getvalue())
        _use(path, there, file.name)


def _use(path: Path, there: Mapping[str, Model], called: str = "") -> None:
    """A kept set in place of the labels and examples of the session, and its model, where it is here."""
    try:
        kept = KeptLabels.load(path)
    except CezsarError as error:
        st.session_state[_SAID] = type(error)(str(error).replace(str(path), called or path.stem))
        return
    given().clear()
    words = {name: list(label.sentences) or [spoken(name)] for name, label in kept.labels.items()}
    for name, label in kept.labels.items():
        if label.examples:
            share = label.share if label.sentences else 1.0
            examples = tuple({each.content: each for each in label.examples if isinstance(each, Example)}.values())
            given()[canonical(name)] = Shown((), examples, (kept.model, kept.fingerprint), share)
    st.session_state[state.LABELS] = label_sets.written_with(words)
    key = next((key for key in (f"run:{kept.model}", kept.model) if key in there), None)
    if key and given():
        st.session_state[state.MODEL] = key
    st.session_state[_SAID] = f"The labels are those of {plain(called or path.stem)}."
