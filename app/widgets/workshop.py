"""The prototype workshop on the screen: sentences of a class are changed, and what that changes is seen at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from app import state
from app.charts import workshop as charts
from app.services import workshop as services
from app.services.workshop import Bench
from app.widgets import choosers, player, posters
from app.widgets.words import plain, sentence
from cezsar.data.labels import canonical
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT, percent
from cezsar.zeroshot.fusion import active
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.workshop import Move, Trial

KINDS = {"gained": "Gained", "lost": "Lost", "drawn": "Drawn to it", "left": "Left it"}
_TEXT = "sentences tried"  # key of the text area; the address has it only where it is not what the class has
_SHOWN = "sentences tried of"  # which data set, start and class the text belongs to
_SAID = "workshop said"
MOST_NAMED = 6  # classes in a sentence
_LONGEST = 1500  # characters of a text in the address


def workshop() -> None:
    """Choose a scored data set and a class, change its sentences, see what that does."""
    st.caption(
        "A class is recognised by its prototype, the embedding of a sentence (Eq. 6); a clip goes to the class whose "
        "prototype is nearest (Eq. 8). Change the sentences of one class, and see which clips it wins and loses."
    )
    first, second = st.columns(2, gap="medium")
    with first:
        item = choosers.scored_set()
    if item is None:
        return
    with second:
        base = _base(item)
    bench = services.bench(item, base)
    _last_words()
    found = services.suggestions(bench)
    _suggest(found)
    editor, result = st.columns([1, 1], gap="large")
    with editor:
        picked = _class(bench, _worst(found) or bench.shop.classes[0])
        new = picked == state.NEW_CLASS
        name = _new_name() if new else picked
        texts, append = _sentences(bench, name, new)
    with result:
        trial = _trial(bench, name, texts, new, append)
    if trial is not None:
        _moved(item, trial)
        if texts and not _same(bench, name, texts, new, append):
            _keep(bench, name, texts, base, append)


def _base(item: Scored) -> Path | None:
    """The file of descriptions that trials start from; None for those it was scored with."""
    bases = services.bases(item)
    if st.session_state.get(state.WORDED) not in bases:
        st.session_state.pop(state.WORDED, None)
    picked = st.selectbox(
        "Start from the sentences", list(bases), key=state.WORDED, bind="query-params", persist_state="session",
        help="Those it was scored with, or a set of your own that is kept under Class descriptions: then every class "
        "described there has the sentences of that set.",
    )  # fmt: skip
    return bases[picked or state.AS_SCORED]


def _worst(found: list[services.Lookalikes]) -> str:
    """Of the most confused pair the class that loses more clips; "" without a pair."""
    return next((pair.second if pair.reverse > pair.taken else pair.first for pair in found), "")


def _suggest(found: list[services.Lookalikes]) -> None:
    """Pairs worth rewriting, each class a click away."""
    with st.expander("Pairs worth rewriting", icon=":material/lightbulb:"):
        if not found:
            st.caption("No two classes are both confused and described alike.")
            return
        st.caption(
            "Classes that take each other's clips and whose prototypes are more similar than most, the most confused "
            "first. Words that only one of the two has are what can tell them apart. Choose one to rewrite it."
        )
        for number, pair in enumerate(found):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                for name in (pair.first, pair.second):
                    st.button(
                        name, key=f"rewrite-{number}-{name}", icon=":material/edit:", type="tertiary",
                        on_click=state.put, args=(state.REWRITE, name),
                    )  # fmt: skip
                st.caption(
                    f"{percent(pair.share)} confused: {pair.taken:,} clips of the first are taken for the second, "
                    f"{pair.reverse:,} the other way round. Similarity {pair.similarity:.2f}. " + _differing(pair)
                )


def _differing(pair: services.Lookalikes) -> str:
    words = [
        f"Only *{plain(name)}* says {plain(', '.join(said))}."
        for name, said in ((pair.first, pair.first_words), (pair.second, pair.second_words))
        if said
    ]
    return " ".join(words) or "No word of their sentences is known to differ."


def _class(bench: Bench, default: str) -> str:
    """The class that is rewritten, or `NEW_CLASS`."""
    names = [*bench.shop.classes, state.NEW_CLASS]
    if st.session_state.get(state.REWRITE) not in names:
        st.session_state.pop(state.REWRITE, None)
    picked = st.selectbox(
        "Class", names, index=names.index(default), key=state.REWRITE, bind="query-params", persist_state="session"
    )
    return picked or default


def _new_name() -> str:
    name = st.text_input(
        "Its name", key=state.NEW_NAME, bind="query-params", placeholder="juggling", max_chars=60,
        help="Clips may be taken for it from now on. It has clips of its own only where labels name it.",
    )  # fmt: skip
    return name.strip()


def _sentences(bench: Bench, name: str, new: bool) -> tuple[list[str], bool]:
    """What is in the text area, and whether it joins sentences that are not known."""
    known = [] if new else bench.sentences([name])[name]
    _begin_text(f"{bench.key} {'' if new else name}", "\n".join(known))
    text = st.text_area(
        "Its sentences, one to a line", key=_TEXT, height=190, max_chars=5000,
        placeholder="What is done, with which objects, where.",
        help="Several sentences make several prototypes, and the nearest one counts. What a camera sees helps: the "
        "movement, the objects, the place; and above all what no other class of the set shows.",
    )  # fmt: skip
    texts = [line.strip() for line in text.splitlines() if line.strip()]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try", icon=":material/play_arrow:", type="primary", help="So does Ctrl and Enter in the text.")
        if known and texts != known:
            st.button(
                "Back to its sentences", icon=":material/undo:", type="tertiary", on_click=state.put,
                args=(_TEXT, "\n".join(known)),
            )  # fmt: skip
    _put_address(text if texts != known else "")
    if known or new:
        return texts, False
    st.caption("Its sentences were not kept with these scores; yours take their place.")
    return texts, st.toggle("Keep its own and add mine", key=state.ADDED, bind="query-params")


def _begin_text(shown: str, known: str) -> None:
    """Before the text area is drawn: the class's own sentences, or what was typed for this very class, or the
    address's."""
    typed = st.session_state.get(_SHOWN)
    if typed is None:
        said = str(st.query_params.get(state.WORDING, ""))
        st.session_state[_TEXT] = said[:5000] or known
    elif typed[0] != shown:
        st.session_state[_TEXT] = known
    elif _TEXT not in st.session_state:  # the page was left
        st.session_state[_TEXT] = typed[1]
    st.session_state[_SHOWN] = (shown, st.session_state[_TEXT])


def _put_address(text: str) -> None:
    said = text if len(text) <= _LONGEST else ""
    if said != st.query_params.get(state.WORDING, ""):
        if said:
            st.query_params[state.WORDING] = said
        else:
            del st.query_params[state.WORDING]


def _same(bench: Bench, name: str, texts: list[str], new: bool, append: bool) -> bool:
    return not new and not append and (not texts or texts == bench.sentences([name])[name])


def _trial(bench: Bench, name: str, texts: list[str], new: bool, append: bool) -> Trial | None:
    """Figures before and after; None where there is nothing to try yet, and a word about it."""
    missing = "a name" if not name else "a sentence" if not texts else ""
    if new and missing:
        st.info(f"Give the new class {missing}, and see what it takes.", icon=":material/edit:")
        return None
    same = _same(bench, name, texts, new, append)
    try:
        trial = services.unchanged(bench, name) if same else services.tried(bench, name, texts, new=new, append=append)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return None
    _figures(bench, trial, same)
    return trial


def _figures(bench: Bench, trial: Trial, same: bool) -> None:
    before, after = trial.before, trial.after
    with st.container(key="metrics-workshop"):
        _accuracy("All classes", after.top1, before.top1, f"Top-1 accuracy of {after.n_clips:,} clips.")
        _accuracy("This class", trial.accuracy, trial.old_accuracy, "Top-1 accuracy of the class's own clips.")
        _accuracy("Mean per class", after.mean_per_class, before.mean_per_class, "Mean over classes of their accuracy.")
        clips = f"of {after.n_clips:,}"
        for title, rows, help in (
            ("Clips gained", trial.gained, "Wrong before, right now; of any class."),
            ("Clips lost", trial.lost, "Right before, wrong now; of any class."),
        ):
            st.metric(title, f"{len(rows):,}", clips, delta_color="off", delta_arrow="off", help=help, border=True)
        old, taken = (int(((one.predicted_N == trial.index) & (one.truth_N >= 0)).sum()) for one in (before, after))
        st.metric(
            "Taken for it", f"{taken:,}", f"{taken - old:+,}" if taken != old else "no change", delta_color="off",
            delta_arrow="auto" if taken != old else "off", border=True,
            help="Clips whose nearest prototype is the class's, rightly or not.",
        )  # fmt: skip
    st.caption(_beside(bench, trial) + (" These are the sentences it has: change them." if same else ""))
    if trial.dead:
        st.warning("These sentences embed to zeros in this space: no clip can be near them.", icon=":material/warning:")


def _beside(bench: Bench, trial: Trial) -> str:
    """What is to be said beside the figures: from what clips are predicted, and other figures of the same set."""
    weights = trial.after.weights
    words = f"Predicted from {' + '.join(f'{weights.of(name):g} {name}' for name in active(trial.scores, weights))}."
    as_scored, kept = services.bench(bench.item, None).shop.before.top1, services.as_kept(bench.item)
    rounded = percent(kept) != percent(as_scored)
    if bench.described or rounded:
        words += f" As it was scored, all classes have {percent(as_scored)}"
        words += f" ({percent(kept)} on other pages, whose scores are kept rounded)." if rounded else "."
    return words


def _accuracy(title: str, now: float | None, before: float | None, help: str) -> None:
    change = 0.0 if now is None or before is None else round(100 * (now - before), 1)
    st.metric(
        title, "–" if now is None else percent(now), f"{change:+.1f} points" if change else "no change",
        delta_color="normal" if change else "off", delta_arrow="auto" if change else "off", help=help, border=True,
    )  # fmt: skip


# What moved ----------------------------------------------------------------------------------------------------------


def _moved(item: Scored, trial: Trial) -> None:
    """Where clips come from and go to, how near they are, and the clips themselves."""
    left, right = st.columns(2, gap="large")
    with left:
        if trial.drawn_from or trial.left_to:
            st.markdown(
                "**Where clips come from, and go to**", help="Clips whose nearest prototype is another than before."
            )
            st.plotly_chart(
                charts.flows_figure(trial.drawn_from, trial.left_to), key="workshop-flows", config=PLOT,
                alt=f"{len(trial.drawn):,} clips drawn to the class, {len(trial.left):,} that left it, by other class",
            )  # fmt: skip
        else:
            _confused(trial)
    with right:
        st.markdown(
            "**How near the clips are to it**",
            help="Cosine similarity of each clip and the class's nearest prototype (Eq. 8). A good description parts "
            "the class's own clips from all others. Dotted lines are means.",
        )
        cosines = _cosines(trial)
        own_N = trial.after.truth_N == trial.index
        words = charts.nearness_words(cosines, own_N)
        st.plotly_chart(charts.nearness_figure(cosines, own_N), key="workshop-nearness", config=PLOT, alt=words)
        st.caption(words)
    _clips(item, trial)


def _confused(trial: Trial) -> None:
    """What the class is confused with now: what its sentences should tell it from."""
    st.markdown(
        "**What it is confused with**",
        help="No clip comes to the class or leaves it by these sentences. What they should tell it from: the classes "
        "that its own clips are taken for, and those whose clips are taken for it.",
    )
    now = trial.after
    for words, here_N, there_N in (
        ("Its own clips are taken for", now.truth_N, now.predicted_N),
        ("Taken for it are clips of", now.predicted_N, now.truth_N),
    ):
        others = there_N[(here_N == trial.index) & (there_N != trial.index) & (there_N >= 0)]
        counts = sorted(zip(*np.unique(others, return_counts=True), strict=True), key=lambda pair: -pair[1])
        named = [f"{plain(now.class_names[c])} ({n:,})" for c, n in counts[:MOST_NAMED]]
        more = f" and {len(counts) - MOST_NAMED:,} more" if len(counts) > MOST_NAMED else ""
        st.markdown(f"{words} {', '.join(named) or 'no other class'}{more}.")


def _cosines(trial: Trial) -> dict[str, np.typing.NDArray[np.float32]]:
    if trial.old_cosine is None or np.array_equal(trial.old_cosine, trial.cosine):
        return {"now": trial.cosine}
    return {"before": trial.old_cosine, "now": trial.cosine}


def _clips(item: Scored, trial: Trial) -> None:
    """Pictures of the clips that moved; one of them is played."""
    rows = {kind: getattr(trial, kind) for kind in KINDS}
    there = [kind for kind in KINDS if len(rows[kind])]
    if not there:
        return
    if st.session_state.get(state.TURNED) not in there:
        st.session_state.pop(state.TURNED, None)
    kind = st.segmented_control(
        "Clips", there, required=True, default=there[0], key=state.TURNED, bind="query-params",
        format_func=lambda kind: f"{KINDS[kind]} ({len(rows[kind]):,})",
        help="Gained: wrong before, right now. Lost: the other way round. Drawn to it and left it: taken for the class "
        "now, or before, rightly or not.",
    ) or there[0]  # fmt: skip
    moves = {move.id: move for move in trial.moves(rows[kind])}
    if st.session_state.get(state.TURNED_CLIP) not in moves:
        st.session_state.pop(state.TURNED_CLIP, None)
    pictures, screen = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        picked = st.selectbox(
            f"Clip, of {len(moves):,}" if len(moves) > 1 else "The only clip", list(moves), key=state.TURNED_CLIP,
            bind="query-params",
        )  # fmt: skip
    move = moves.get(picked or "", next(iter(moves.values())))
    posters.cards(grid, item, [_card(each, kind) for each in moves.values()], move.id, state.TURNED_CLIP)
    with screen:
        player.film_of(item, move.id, move.true, caption="")
        st.markdown(
            f"A clip of **{plain(move.true)}**: before taken for {_named(move, move.before)}, now for "
            f"{_named(move, move.after)}."
        )


def _card(move: Move, kind: str) -> posters.Card:
    other = move.after if kind in ("lost", "left") else move.before
    words = ("to " if kind in ("lost", "left") else "from ") + (other or "undecided")
    return posters.Card(move.id, move.true, words, f"{move.true}, {words}")


def _named(move: Move, name: str) -> str:
    if not name:
        return "no class"
    return f":green[**{plain(name)}**]" if canonical(name) == canonical(move.true) else f"**{plain(name)}**"


# Keeping -------------------------------------------------------------------------------------------------------------


def _keep(bench: Bench, name: str, texts: list[str], base: Path | None, append: bool) -> None:
    """A form that writes the sentences into a set of one's own."""
    if append:
        st.caption("To keep sentences, all those of the class must be known: give them in the text.")
        return
    with st.container(border=True):
        st.markdown(f"**Keep the sentences of {plain(name)}**")
        own = services.own_sets()
        start = next((title for title, path in services.bases(bench.item).items() if path and path == base), "")
        key = f"keep-in-{start}"
        there = f" There are: {', '.join(own)}." if own else ""
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Name of a set of my own", value=start, key=key, placeholder="rewritten", max_chars=60,
                help="In a set that is there already this class gets these sentences; a new set gets the sentences of "
                "the other classes, too, as far as they are known. It is found under Class descriptions, and "
                f"`cezsar evaluate --prototypes` takes its file.{there}",
            )  # fmt: skip
            st.button(
                "Keep", icon=":material/save:", key="keep-wording", on_click=_kept, args=(bench, name, texts, key)
            )


def _kept(bench: Bench, name: str, texts: list[str], key: str) -> None:
    """Callback: write them, and go on from there."""
    into = str(st.session_state.get(key) or "").strip()
    try:
        path = services.keep(bench, name, texts, into)
    except CezsarError as error:
        st.session_state[_SAID] = (False, str(error))
        return
    st.session_state[state.WORDED] = path.stem
    st.session_state[state.REWRITE] = name
    st.session_state[_SAID] = (True, f"Kept in {path.stem}, a set of your own. Trials start from it now.")


def _last_words() -> None:
    """What came of keeping, said once."""
    if said := st.session_state.pop(_SAID, None):
        if said[0]:
            st.toast(plain(said[1]), icon=":material/check:")
        else:
            st.error(sentence(CezsarError(said[1])), icon=":material/error:")
