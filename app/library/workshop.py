"""The section Prototype workshop: sentences of a class are changed, or examples of it are taken, and what that changes
is seen at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from app import cache, state
from app.library.descriptions import save
from app.library.examples import ask
from app.parts import choosers, labels, models, player, scored, show
from app.parts.choosers import one_of
from app.parts.models import Model
from app.parts.wording import hints
from app.parts.words import plain
from cezsar import workspace
from cezsar.analysis.confusion import Lookalikes, confusable
from cezsar.analysis.wording import Contrast, Wording
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, GREY, layout, number, percent
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.examples import Example
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.scored import Scored, reworded
from cezsar.zeroshot.spaces import Space, prototypes_of
from cezsar.zeroshot.workshop import Trial, Workshop

PAIRS, BINS = 6, 40  # look-alikes that are suggested, bars in the figure of similarities
KINDS = {"gained": "Gained", "lost": "Lost", "drawn": "Drawn to it", "left": "Left it"}
_TEXT = "sentences tried"  # key of the text area; the address has it only where it is not what the class has
_SHOWN = "sentences tried of"  # which data set, start and class the text belongs to
_SAID = "workshop said"
_MOST_TYPED = 5000  # characters


class Bench(NamedTuple):
    """A scored data set, ready for trials."""

    key: str  # another for other content
    item: Scored
    space: Space  # where sentences join its prototypes
    sentences: Mapping[str, list[str]]  # class -> those that a trial starts from; none where they are not known
    shop: Workshop
    reads: Model | None  # the run that scored it, where it can read films here


def open_bench(item: Scored, base: Path | None) -> Bench:
    """The workshop of a scored data set; trials start from a file of descriptions, or from the sentences of scoring.
    Raises `CezsarError` where nothing here embeds sentences into its space, or the file cannot be read."""
    key = f"{item.fingerprint} {item.folder} {workspace.home().absolute()}"
    space = cache.large(item.space, "workshop space", key, words="Loading the run and its sentence encoder")
    key += "" if base is None else f" {base} {base.stat().st_mtime_ns}"

    def make() -> Bench:
        known, described = item.descriptions(), load_descriptions(base) if base else {}
        embeddings = reworded(scored.embeddings(item), space, known, described)
        shop = Workshop(embeddings, item.weights, item.several, form=item.method.form)
        own = {canonical(name): texts for name, texts in described.items()}
        starts = {name: own.get(canonical(name)) or known.get(name, []) for name in embeddings.class_names}
        run = item.run()
        return Bench(key, item, space, starts, shop, None if run is None else models.of_run(run.folder))

    return cache.large(make, "workshop", key, words="Embedding class descriptions")


def tried(here: Bench, name: str, texts: Sequence[str], *, new: bool = False,
          examples: Sequence[str | Example] = (), share: float | None = None) -> Trial:  # fmt: skip
    """What other sentences of a class would give, or examples; without sentences it keeps what it has. Raises
    `InputError` for a name taken."""
    vectors_PE, key = None, (here.key, name, tuple(texts))
    if texts:
        words = "Encoding the sentences; the encoder is loaded once, in some seconds"
        vectors_PE = cache.once(lambda: prototypes_of(here.space, {name: texts})[1], "sentences", *key, words=words)
    make = partial(here.shop.try_sentences, name, vectors_PE, new=new, examples=examples, share=share)
    if any(isinstance(each, Example) for each in examples):
        return make()  # nothing of a film of one's own stays with the server
    return cache.large(make, "trial", *key, new, tuple(examples), share)


def section() -> None:
    st.caption("A clip goes to the nearest prototype (Eq. 6, 8): see what other sentences or examples win or lose.")
    first, second = st.columns(2, gap="medium")
    with first:
        item = choosers.scored_set()
    if item is None:
        return
    names = {canonical(name) for name in scored.embeddings(item).class_names}
    own = {title: each.folder_file for title, each in _own_sets().items() if names & set(map(canonical, each.names))}
    starts = {state.AS_SCORED: None, **own}
    with second:
        start = one_of(
            "Start from the sentences", list(starts), state.WORDED, persist_state="session",
            help="Those it was scored with, or for all classes described there a set of your own.",
        )  # fmt: skip
    here, base = open_bench(item, starts[start]), "" if start == state.AS_SCORED else start
    if said := st.session_state.pop(_SAID, None):  # what came of keeping
        if isinstance(said, CezsarError):
            show.error(said)
        else:
            st.toast(said, icon=":material/check:")
    shop, classes = here.shop, here.shop.embeddings.class_names

    def alike() -> list[Lookalikes]:
        counts = confusion_matrix(shop.scores, shop.weights, classes)
        return confusable(shop.embeddings, counts, classes, here.sentences, PAIRS)

    found = cache.once(alike, "look-alikes", here.key, words="Looking for classes that are described alike")
    _suggest(found)
    (editor, result), further = st.columns([1, 1], gap="large"), st.container()
    with editor:
        worst = next((pair.second if pair.reverse > pair.taken else pair.first for pair in found), classes[0])
        name = one_of("Class", [*classes, state.NEW_CLASS], state.REWRITE, worst, persist_state="session")
        if new := name == state.NEW_CLASS:
            name = st.text_input(
                "Its name", key=state.NEW_NAME, bind="query-params", placeholder="juggling", max_chars=60,
                help="Clips may be taken for it from now on. It has clips of its own only where labels name it.",
            ).strip()  # fmt: skip
        known = [] if new else here.sentences[name]
        texts = _sentences(f"{here.key} {'' if new else name}", known)
        if not known and not new:
            st.caption("Its sentences were not kept with these scores; yours take their place.")
        examples, share = ask(item, shop.scores, name, here.reads) if name else ((), None)
    with further:
        _better_words(here, name, known, texts)
    with result:
        if new and not (name and (texts or examples)):
            st.info(
                f"Give the new class a {'sentence or an example' if name else 'name'} first.", icon=":material/edit:"
            )
            return
        same = not new and (not texts or texts == known)
        try:
            trial = tried(here, name, [] if same else texts, new=new, examples=examples, share=share)
        except CezsarError as error:
            show.error(error)
            return
        _figures(trial, same, len(examples))
    _moved(trial)
    _clips(item, trial)
    if texts and not same:
        _keep_form(here, name, texts, base)


def _own_sets() -> dict[str, labels.LabelSet]:
    return {known.title: known for known in labels.label_sets().values() if known.folder_file is not None}


def _suggest(found: list[Lookalikes]) -> None:
    with st.expander("Pairs worth rewriting", icon=":material/lightbulb:"):
        st.caption("Confused, and described alike. Words that only one of the two has can tell them apart.")
        for row, pair in enumerate(found):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                said = f"{percent(pair.share)} confused: {pair.taken:,} clips of the first are taken for the second, "
                said += f"{pair.reverse:,} the other way round. Similarity {pair.similarity:.2f}."
                for name, words in ((pair.first, pair.first_words), (pair.second, pair.second_words)):
                    edit: dict[str, Any] = {"icon": ":material/edit:", "type": "tertiary"}
                    state.setter(name, f"rewrite-{row}-{name}", state.REWRITE, name, **edit)
                    said += f" Only *{plain(name)}* says {plain(', '.join(words))}." if words else ""
                st.caption(said)


def _sentences(shown: str, known: list[str]) -> list[str]:
    """The text area: the class's own sentences, or what was typed for this very class, or the address's."""
    own, typed = "\n".join(known), st.session_state.get(_SHOWN)
    if typed is None:
        st.session_state[_TEXT] = str(st.query_params.get(state.WORDING, ""))[:_MOST_TYPED] or own
    elif typed[0] != shown:
        st.session_state[_TEXT] = own
    elif _TEXT not in st.session_state:  # the page was left
        st.session_state[_TEXT] = typed[1]
    st.session_state[_SHOWN] = (shown, st.session_state[_TEXT])
    text = st.text_area(
        "Its sentences, one to a line", key=_TEXT, height=190, max_chars=_MOST_TYPED,
        placeholder="What is done, with which objects, where.",
        help="Of several the nearest one counts. Say what a camera sees, and above all what no other class shows.",
    )  # fmt: skip
    texts = [line.strip() for line in text.splitlines() if line.strip()]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try", icon=":material/play_arrow:", type="primary", help="So does Ctrl and Enter in the text.")
        if known and texts != known:
            state.setter("Back to its sentences", "back", _TEXT, own, icon=":material/undo:", type="tertiary")
    state.put_address(state.WORDING, [text] if texts != known else [], [])
    return texts


def _figures(trial: Trial, same: bool, examples: int) -> None:
    before, after, name = trial.before, trial.after, trial.class_name
    old, taken = (int(((one.predicted_N == trial.index) & (one.truth_N >= 0)).sum()) for one in (before, after))
    own, was = after.per_class.get(name), before.per_class.get(name)
    clips, mean = f"of {after.n_clips:,}", (after.mean_per_class, before.mean_per_class)
    show.metrics("workshop", [
        ("All classes", percent(after.top1), show.change(after.top1, before.top1), f"Top-1 accuracy {clips} clips."),
        ("This class", percent(own), "no change" if own is None or was is None else show.change(own, was),
         "Top-1 accuracy of the class's own clips."),
        ("Mean per class", percent(mean[0]), show.change(*mean), "Top-1 accuracy by class, and their mean."),
        ("Clips gained", f"{len(trial.gained):,}", clips, "Wrong before, right now; of any class."),
        ("Clips lost", f"{len(trial.lost):,}", clips, "Right before, wrong now; of any class."),
        ("Taken for it", f"{taken:,}", f"before: {old:,}", "Clips whose nearest prototype is the class's."),
    ])  # fmt: skip
    weights = after.weights
    words = f"Predicted from {' + '.join(f'{weights.of(name):g} {name}' for name in active(trial.scores, weights))}."
    st.caption(words + (" These are the sentences it has: change them." if same and not examples else ""))
    if examples:
        said = f"Not zero-shot: {examples} example{'s' * (examples > 1)}, λ = {number(trial.share)}."
        if len(trial.examples):
            said += f" Before and after are both told on the {after.n_clips:,} clips that are none of them."
        show.info(said)
    if name in trial.scores.dead_classes:
        st.warning("These sentences embed to zeros in this space: no clip can be near them.", icon=":material/warning:")


def _moved(trial: Trial) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        told = "Clips taken for another class than before, by the class that they come from, or go to."
        st.markdown("**What it takes clips from, and loses them to**", help=told)
        show.table(flows(trial), f"{len(trial.drawn):,} clips drawn to the class, {len(trial.left):,} that left it")
    with right:
        told = "Cosine of each clip and the class's nearest prototype (Eq. 8): its own clips should be nearer."
        st.markdown("**How near the clips are to it**", help=f"{told} Dotted lines are means.")
        figure, words = nearness(trial)
        show.figure(figure, "workshop-nearness", words)
        st.caption(words)


def flows(trial: Trial) -> pd.DataFrame:
    """Of every other class: its clips that are taken for this one, this one's for it, and those that came and went."""
    now, names, own = trial.after, trial.after.class_names, trial.index
    ends = {
        "its clips taken for this": now.truth_N[now.predicted_N == own],
        "this one's taken for it": now.predicted_N[now.truth_N == own],
        "drawn from it": trial.before.predicted_N[trial.drawn],
        "left to it": now.predicted_N[trial.left],
    }
    counts = {title: np.bincount(class_N[class_N >= 0], minlength=len(names)) for title, class_N in ends.items()}
    table = pd.DataFrame({"class": list(names)} | counts).drop(own)
    return table[table[list(ends)].any(axis=1)].sort_values(list(ends), ascending=False)


def nearness(trial: Trial) -> tuple[go.Figure, str]:
    """How near the clips are to the class, its own and all others, now and (if not the same) before; means in words."""
    cosines, own_N = trial.cosines, trial.after.truth_N == trial.index
    others_N = ~own_N
    others_N[trial.examples] = False
    if "before" in cosines and np.array_equal(cosines["before"], cosines["now"]):
        cosines = {"now": cosines["now"]}
    everything = np.concatenate([*cosines.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    figure, said = make_subplots(len(cosines), 1, shared_xaxes=True, vertical_spacing=0.12), []
    sides = [side for side in (("its own clips", own_N, COLOURS[0]), ("all others", others_N, GREY)) if side[1].any()]
    layout(figure, 130 * len(cosines) + 100, barmode="overlay", bargap=0)
    for row, (title, cosine_N) in enumerate(cosines.items(), start=1):
        means = {name: float(cosine_N[members_N].mean()) for name, members_N, _ in sides}
        for name, members_N, colour in sides:
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2, y=100 * np.histogram(cosine_N[members_N], edges)[0] / members_N.sum(),
                row=row, col=1, name=name, legendgroup=name, showlegend=row == 1, opacity=0.75,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{title}: %{{y:.1f}} % of {name} near %{{x:.2f}}<extra></extra>",
            )  # fmt: skip
            figure.add_vline(means[name], row=row, col=1, line={"color": colour, "width": 2, "dash": "dot"})
        figure.update_yaxes(title={"text": f"{title}: clips (%)", "standoff": 8}, row=row, col=1)
        said.append(f"{title}: " + ", ".join(f"{name} {number(mean)}" for name, mean in means.items()))
    figure.update_xaxes(nticks=6).update_yaxes(nticks=4, rangemode="tozero")
    figure.update_xaxes(title={"text": "similarity (cosine; 1 = same direction)"}, row=len(cosines), col=1)
    return figure, f"Mean similarity {'; '.join(said)}."


def _clips(item: Scored, trial: Trial) -> None:
    rows = {kind: found for kind in KINDS if len(found := getattr(trial, kind))}
    if not rows:
        return
    kind = choosers.segments(
        "Clips", {kind: f"{KINDS[kind]} ({len(found):,})" for kind, found in rows.items()}, state.TURNED,
        "Gained: wrong before, right now; lost: the reverse. Drawn to it, left it: taken for it now, or before.",
    )  # fmt: skip
    moves, cards = {move.id: move for move in trial.moves(rows[kind])}, []
    for each in moves.values():
        words = f"to {each.after or 'undecided'}" if kind in ("lost", "left") else f"from {each.before or 'undecided'}"
        cards.append(player.Poster(each.id, each.true, plain(words), f"{each.true}, {words}"))
    chosen, screen = player.gallery(item, cards, state.TURNED_CLIP)
    move = moves[chosen]
    with screen:
        named = {"": "no class", move.true: f":green[**{plain(move.true)}**]"}
        before, after = (named.get(name, f"**{plain(name)}**") for name in (move.before, move.after))
        st.markdown(f"A clip of **{plain(move.true)}**: before taken for {before}, now for {after}.")


def _better_words(here: Bench, name: str, known: Sequence[str], texts: Sequence[str]) -> None:
    """Patterns for the class, which may be new, and the words that tell it from those that are nearest to it now."""
    opened = st.expander("Better words", icon=":material/edit_note:", key=state.HINTS, bind="query-params")
    if not (opened.open and name):
        return
    old, now = here.shop.embeddings, texts or known
    wording = Wording(here.space, here.sentences, (old.class_names, old.prototypes, old.prototype_class))
    near = wording.neighbours(name, now) if now else []

    def contrast(other: str) -> Contrast:
        return wording.contrast(name, other, now)

    with opened:
        hints(name, known, near, here.sentences, contrast, _TEXT, here.key, name, now)


def _keep_form(here: Bench, name: str, texts: list[str], base: str) -> None:
    """A form that writes the sentences into a set of one's own, and goes on from there."""
    key, own = f"keep-in-{base}", _own_sets()

    def keep() -> None:
        title = str(st.session_state.get(key) or "").strip()
        file = own[title].folder_file if title in own else None
        try:
            known = load_descriptions(file) if file else here.sentences
            spelt = next((other for other in known if canonical(other) == canonical(name)), name)
            described = {**known, spelt: texts}
            save(title, {other: given for other, given in described.items() if given}, replace=title in own)
        except CezsarError as error:
            st.session_state[_SAID] = error
            return
        said = f"Kept in {plain(title)}, a set of your own. Trials start from it now."
        st.session_state.update({state.WORDED: title, state.REWRITE: name, _SAID: said})

    there = f" There are: {plain(', '.join(own))}." if own else ""
    with st.container(border=True):
        st.markdown(f"**Keep the sentences of {plain(name)}**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Name of a set of my own", value=base, key=key, placeholder="rewritten", max_chars=60,
                help="A set that is there gets these sentences, a new one those of the other classes, too. "
                f"It is found under Class descriptions; `cezsar evaluate --prototypes` takes its file.{there}",
            )  # fmt: skip
            st.button("Keep", icon=":material/save:", key="keep-wording", on_click=keep)
