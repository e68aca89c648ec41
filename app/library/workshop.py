"""The section Prototype workshop: sentences of a class are changed, and what that changes is seen at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from app import cache, state
from app.library.descriptions import save
from app.parts import choosers, labels, player, scored, show
from app.parts.choosers import one_of
from app.parts.words import plain
from cezsar import workspace
from cezsar.analysis.confusion import Lookalikes, confusable
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, GAIN, GREY, LOSS, bars, layout, number, percent, shown
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.scored import Scored, reworded
from cezsar.zeroshot.spaces import Space, prototypes_of
from cezsar.zeroshot.weights import outcome
from cezsar.zeroshot.workshop import Flow, Trial, Workshop

PAIRS, MOST_NAMED = 6, 6  # look-alikes that are suggested, classes in a sentence
MOST_ROWS, BINS = 10, 40  # classes in the figure of flows, bars in that of similarities
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
        return Bench(key, item, space, starts, shop)

    return cache.large(make, "workshop", key, words="Embedding class descriptions")


def tried(here: Bench, name: str, texts: Sequence[str], *, new: bool = False, append: bool = False) -> Trial:
    """What other sentences of a class would give; without any, what it has. Raises `InputError` for a name taken."""
    shop, key = here.shop, (here.key, name, tuple(texts))
    if not texts:
        owner_P = shop.embeddings.prototype_class
        vectors_PE = shop.embeddings.prototypes[owner_P == shop.embeddings.class_names.index(name)]
    else:
        words = "Encoding the sentences; the encoder is loaded once, in some seconds"
        vectors_PE = cache.once(lambda: prototypes_of(here.space, {name: texts})[1], "sentences", *key, words=words)
    make = partial(shop.try_sentences, name, vectors_PE, append=append, new=new)
    return cache.large(make, "trial", *key, new, append)


def section() -> None:
    st.caption("A clip goes to the class with the nearest prototype (Eq. 6, 8): see what other sentences win or lose.")
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
    editor, result = st.columns([1, 1], gap="large")
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
        append = False
        if not known and not new:
            st.caption("Its sentences were not kept with these scores; yours take their place.")
            append = st.toggle("Keep its own and add mine", key=state.ADDED, bind="query-params")
    with result:
        if new and not (name and texts):
            st.info(f"Give the new class a {'sentence' if name else 'name'} first.", icon=":material/edit:")
            return
        same = not new and (not texts or texts == known)
        try:
            trial = tried(here, name, [] if same else texts, new=new, append=append and not same)
        except CezsarError as error:
            show.error(error)
            return
        _figures(here, trial, bool(base), same)
    _moved(trial)
    _clips(item, trial)
    if append and not same:
        st.caption("To keep sentences, all those of the class must be known: give them in the text.")
    elif not same:
        _keep_form(here, name, texts, base)


def _own_sets() -> dict[str, labels.LabelSet]:
    return {known.title: known for known in labels.label_sets().values() if known.folder_file is not None}


def _suggest(found: list[Lookalikes]) -> None:
    with st.expander("Pairs worth rewriting", icon=":material/lightbulb:"):
        if not found:
            st.caption("No two classes are both confused and described alike.")
            return
        st.caption("Confused, and described alike. Words that only one of the two has can tell them apart.")
        for row, pair in enumerate(found):
            differing = ""
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                for name, words in ((pair.first, pair.first_words), (pair.second, pair.second_words)):
                    st.button(
                        name, key=f"rewrite-{row}-{name}", icon=":material/edit:", type="tertiary", on_click=state.put,
                        args=(state.REWRITE, name),
                    )  # fmt: skip
                    differing += f" Only *{plain(name)}* says {plain(', '.join(words))}." if words else ""
                st.caption(
                    f"{percent(pair.share)} confused: {pair.taken:,} clips of the first are taken for the second, "
                    f"{pair.reverse:,} the other way round. Similarity {pair.similarity:.2f}."
                    + (differing or " No word of their sentences is known to differ.")
                )


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
            back = partial(state.put, _TEXT, own)
            st.button("Back to its sentences", icon=":material/undo:", type="tertiary", on_click=back)
    state.put_address(state.WORDING, [text] if texts != known else [], [])
    return texts


def _figures(here: Bench, trial: Trial, own_start: bool, same: bool) -> None:
    before, after, name = trial.before, trial.after, trial.class_name
    with st.container(key="metrics-workshop"):
        for title, now, was, of in (
            ("All classes", after.top1, before.top1, f"of {after.n_clips:,} clips"),
            ("This class", after.per_class.get(name), before.per_class.get(name), "of the class's own clips"),
            ("Mean per class", after.mean_per_class, before.mean_per_class, "by class, and their mean"),
        ):
            change = 0.0 if now is None or was is None else round(100 * (now - was), 1)
            delta, value = f"{change:+.1f} points" if change else "no change", "–" if now is None else percent(now)
            _metric(title, value, delta, f"Top-1 accuracy {of}.", "normal")
        clips = f"of {after.n_clips:,}"
        _metric("Clips gained", f"{len(trial.gained):,}", clips, "Wrong before, right now; of any class.")
        _metric("Clips lost", f"{len(trial.lost):,}", clips, "Right before, wrong now; of any class.")
        old, taken = (int(((one.predicted_N == trial.index) & (one.truth_N >= 0)).sum()) for one in (before, after))
        words = "Clips whose nearest prototype is the class's, rightly or not."
        _metric("Taken for it", f"{taken:,}", f"{taken - old:+,}" if taken != old else "no change", words)
    weights, item = after.weights, here.item
    words = f"Predicted from {' + '.join(f'{weights.of(name):g} {name}' for name in active(trial.scores, weights))}."
    # Other pages read scores that may be kept as float16: a clip in a thousand may be decided otherwise by these.
    kept = cache.once(lambda: outcome(scored.scores(item), item.weights).top1, "top-1 as kept", item.fingerprint)
    as_scored = percent(open_bench(item, None).shop.before.top1)
    rounded = f" ({percent(kept)} on other pages, whose scores are kept rounded)" if percent(kept) != as_scored else ""
    if own_start or rounded:
        words += f" As it was scored, all classes have {as_scored}{rounded}."
    st.caption(words + (" These are the sentences it has: change them." if same else ""))
    if name in trial.scores.dead_classes:
        st.warning("These sentences embed to zeros in this space: no clip can be near them.", icon=":material/warning:")


def _metric(title: str, value: str, delta: str, told: str, colour: Literal["normal", "off"] = "off") -> None:
    if delta[0] in "+-":
        st.metric(title, value, delta, delta_color=colour, help=told, border=True)
    else:
        st.metric(title, value, delta, delta_color="off", delta_arrow="off", help=told, border=True)


def _moved(trial: Trial) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        if trial.drawn_from or trial.left_to:
            st.markdown("**Where clips come from, and go to**", help="Clips taken for another class than before.")
            words = f"{len(trial.drawn):,} clips drawn to the class, {len(trial.left):,} that left it, by other class"
            show.figure(flows_figure(trial.drawn_from, trial.left_to), "workshop-flows", words)
        else:
            _confused(trial)
    with right:
        told = "Cosine of each clip and the class's nearest prototype (Eq. 8): its own clips should be nearer."
        st.markdown("**How near the clips are to it**", help=f"{told} Dotted lines are means.")
        figure, words = nearness(trial)
        show.figure(figure, "workshop-nearness", words)
        st.caption(words)


def flows_figure(drawn_from: Sequence[Flow], left_to: Sequence[Flow]) -> go.Figure:
    """Bars to the right: clips that the class takes from others; to the left: clips that others take from it."""
    ordered = sorted([*drawn_from, *left_to], key=lambda flow: -flow.clips)
    names = list(dict.fromkeys(flow.name for flow in ordered))[:MOST_ROWS]
    parts = []
    for colour, words, count in (
        (GAIN, "right now", lambda flow: flow.right),
        (LOSS, "wrong now, right before", lambda flow: flow.wrong),
        (GREY, "wrong either way", lambda flow: flow.clips - flow.right - flow.wrong),
    ):
        for flows, sign, way in ((drawn_from, 1, "from"), (left_to, -1, "to")):
            clips = {flow.name: count(flow) for flow in flows}
            hovers = [f"{clips.get(name, 0)} clips {way} {shown(name or 'undecided')}: {words}" for name in names]
            parts.append(
                {"x": [sign * clips.get(name, 0) for name in names], "marker": {"color": colour}, "hovertext": hovers,
                 "name": words, "legendgroup": words, "showlegend": sign == 1}
            )  # fmt: skip
    widest = max([flow.clips for flow in ordered], default=1)
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if widest / step <= 4), widest)
    ticks = list(range(-step * (widest // step), widest + 1, step))
    figure = bars(
        [name or "undecided" for name in names], parts, "clips: ← to others | from others →", 30, 26,
        barmode="relative", legend={"traceorder": "normal"},
    )  # fmt: skip
    widths = {"range": [-1.08 * widest, 1.08 * widest], "zeroline": True}
    return figure.update_xaxes(tickvals=ticks, ticktext=[str(abs(tick)) for tick in ticks], **widths)


def nearness(trial: Trial) -> tuple[go.Figure, str]:
    """How near the clips are to the class, its own and all others, now and (if not the same) before; means in words."""
    cosines, own_N = trial.cosines, trial.after.truth_N == trial.index
    if "before" in cosines and np.array_equal(cosines["before"], cosines["now"]):
        cosines = {"now": cosines["now"]}
    everything = np.concatenate([*cosines.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    figure, said = make_subplots(len(cosines), 1, shared_xaxes=True, vertical_spacing=0.12), []
    sides = [side for side in (("its own clips", own_N, COLOURS[0]), ("all others", ~own_N, GREY)) if side[1].any()]
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


def _confused(trial: Trial) -> None:
    """What the class is confused with now: what its sentences should tell it from."""
    told = "By these sentences no clip comes to the class or leaves it. These are the classes to tell it from."
    st.markdown("**What it is confused with**", help=told)
    now = trial.after
    for words, here_N, there_N in (
        ("Its own clips are taken for", now.truth_N, now.predicted_N),
        ("Taken for it are clips of", now.predicted_N, now.truth_N),
    ):
        others = there_N[(here_N == trial.index) & (there_N != trial.index) & (there_N >= 0)]
        counts = Counter(np.sort(others).tolist()).most_common()
        named = [f"{plain(now.class_names[c])} ({n:,})" for c, n in counts[:MOST_NAMED]]
        more = f" and {len(counts) - MOST_NAMED:,} more" if len(counts) > MOST_NAMED else ""
        st.markdown(f"{words} {', '.join(named) or 'no other class'}{more}.")


def _clips(item: Scored, trial: Trial) -> None:
    rows = {kind: found for kind in KINDS if len(found := getattr(trial, kind))}
    if not rows:
        return
    kind = choosers.segments(
        "Clips", {kind: f"{KINDS[kind]} ({len(found):,})" for kind, found in rows.items()}, state.TURNED,
        "Gained: wrong before, right now; lost: the reverse. Drawn to it, left it: taken for it now, or before.",
    )  # fmt: skip
    moves = {move.id: move for move in trial.moves(rows[kind])}
    pictures, screen = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        label = f"Clip, of {len(moves):,}" if len(moves) > 1 else "The only clip"
        move = moves[one_of(label, list(moves), state.TURNED_CLIP, persist_state="session")]
    cards = []
    for each in moves.values():
        words = f"to {each.after or 'undecided'}" if kind in ("lost", "left") else f"from {each.before or 'undecided'}"
        cards.append(player.Poster(each.id, each.true, words, f"{each.true}, {words}"))
    player.cards(grid, item, cards, move.id, state.TURNED_CLIP)
    with screen:
        player.film_of(item, move.id, move.true, caption="")
        named = {"": "no class", move.true: f":green[**{plain(move.true)}**]"}
        before, after = (named.get(name, f"**{plain(name)}**") for name in (move.before, move.after))
        st.markdown(f"A clip of **{plain(move.true)}**: before taken for {before}, now for {after}.")


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

    there = f" There are: {', '.join(own)}." if own else ""
    with st.container(border=True):
        st.markdown(f"**Keep the sentences of {plain(name)}**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Name of a set of my own", value=base, key=key, placeholder="rewritten", max_chars=60,
                help="A set that is there gets these sentences, a new one those of the other classes, too. "
                f"It is found under Class descriptions; `cezsar evaluate --prototypes` takes its file.{there}",
            )  # fmt: skip
            st.button("Keep", icon=":material/save:", key="keep-wording", on_click=keep)
