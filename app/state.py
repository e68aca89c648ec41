"""Every session_state key and query parameter.

Widgets bound with `bind="query-params"` carry their key as the parameter's name, so a copied address opens the same
view. Labels may be thousands: they go into the address by hand, as long as they fit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import streamlit as st

KEPT: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}  # in the address, and for the next visit

# Shared by pages, so that a choice made on one is found on the next
ON, CLASSES = "on", "classes"  # name of the scored data set that figures are about, and classes to be looked at

# Classify
MODEL, BESIDE_MODEL = "model", "besidemodel"  # keys of the models that answer, see parts.models; "" for no second one
SOURCE, UPLOADED = "from", "uploads"  # where clips come from: UPLOADS or SAMPLES; the files, not in the address
TASK, ACTION, HIT = "task", "action", "hit"  # RANK or FIND_ONE; what is looked for, and the row that is played
SAMPLE, CLIP = "sample", "clip"  # id of a sample; number of the clip whose answer is shown, of several
LABELS = "labels"  # the text in the box; in the address "@" and the name of a label set stand for the whole set
SHOWN_LABEL, KEPT_LABELS = "shown", "keptlabels"  # the label that examples are dropped on; name of a label set
OBJECTS, CAPTION_WEIGHT = "objects", "caption-weight"  # β and γ of Eq. 9
WHY, RIVAL = "why", "rival"  # whether reasons are shown, and the label that the best one is compared with
UNLIKE, LEAST, LEAD = "unlike", "least", "lead"  # limits beyond which there is no answer, as in RejectionLimits
CAPTION, SECOND, SPAN = "caption-", "second-", "span-"  # begin the keys of each clip's caption, seconds and time line
BETTER, BETTER_LABEL, BETTER_TEXT = "better words", "better words for", "sentences of "  # open; whose; begins keys
SAMPLES, UPLOADS, RANK, FIND_ONE = "samples", "mine", "rank", "find"

# Train
PART, CHOSEN_RUNS = "part", "runs"  # NEW_RUN, RUNS or LOAD; names of runs looked at or compared
METHOD, TO_SHOW = "method", "to show next"  # of a new run; keys to be set before the widgets of the next run
NEW = "new-"  # begins the key of every setting of a new run, such as "new-tau"
NEW_RUN, RUNS, LOAD = "new", "list", "load"

# Confusion
SPEAKS = "speaks"  # what the first matrix is predicted from
BESIDE, WITH, WITH_SPEAKS = "beside", "with", "withspeaks"  # whether there is a second; its own
WHICH, HARD, AMONG = "which", "hard", "among"  # classes shown; hard groups shown; classes that predictions are among
CELLS, LINED, ZOOM = "cells", "lined", "zoom"  # shares or counts; order; rows and columns shown in full: "3-20,7-25"
TRUE, TAKEN, SHOT = "true", "taken", "shot"  # the cell whose clips are shown, and the one that is played
SIDE = "side"  # which of two matrices they are of: IN_A, IN_B, ONLY_A or ONLY_B
GROUPS_OF, CONTROLLED = "groupsof", "controlled"  # whose groups errors are counted in; the one beside random classes
OUTSIDE = "outsideonly"  # whether these are drawn outside of the groups only
ALL, BY_GROUP, CHOSEN = "all", "groups", "chosen"
IN_A, IN_B, ONLY_A, ONLY_B = "a", "b", "onlya", "onlyb"

# Evaluate
COMPARED, PROTOCOL = "compared", "protocol"  # further scored sets of the data set; all, half, random or given classes
DRAW, SPLITS, SEED = "draw", "splits", "seed"  # of random classes: how many, how often, from which seed
LISTED_BY, TYPED_CLASSES = "listed-by", "typed-classes"  # how a list is given; its text, not in the address
EVALUATED = "rows"  # what the table has rows of: "VE", "O", "C", "fused"
OWN_WEIGHTS = "own-weights"  # whether each run keeps its own α, β and γ, else:
WEIGHT_OF = {"VE": "weight-ve", "O": "weight-o", "C": "weight-c"}
ROW, SPLIT = "row", "split"  # whose splits are looked at, and which one, from 1
LOOK, AGAINST = "look", "against"  # what is shown below the table; title of the row that others are compared with
SEEN = "seen"  # scored set whose classes training showed, beside the unseen ones
CONFIDENCE, LET_IN = "confidence", "let-in"  # what tells unknown clips; percent of them that may pass for known ones

# Semantic gap
PERPLEXITY, MAP_SEED, MAP_CLIPS = "perplexity", "map-seed", "map-clips"  # of t-SNE; of it and the clips; their number
FITTED = "fitted"  # True: only the chosen classes are fitted
SHOWN_BY = "shown-by"  # clips that show each class on the maps: NOT_SHOWN, a number, or ALL_CLIPS
NOT_SHOWN, ALL_CLIPS = "none", "all"
SELECT_BY, MAP_CLIP = "select-by", "map-clip"  # CLICK or LASSO; id of the clip that is played
GAP_SPACE = "gap-space"  # space in which classes are judged, and of their table
MAP_PICKED, MAP_TOUCHED = "map picked", "map touched"  # ids of clips that stand out; the space they were selected in
MAP_MARKS = "map marks"  # space -> positions of the clips that stand out in its figure
MAP_KIND = "map kind"  # what the figures were drawn from: others carry no selection yet
FAULT_CLASS, FAULT_SIDE, FAULT_CLIP = "fault-class", "fault-side", "fault-clip"  # whose errors; whose fault; played
SHIFT_FROM = "shift-from"  # name of the feature store of training videos
CLICK, LASSO = "click", "lasso"
PINNED = "pinned clip"  # {"name", "run", "joint", "sentence"}: a clip of the page Classify to be shown on maps

# Tune
TUNED = "tune"  # what is tuned: TUNE_WEIGHTS or TUNE_TAU
ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"  # weights of VE, O and C in Eq. 9
REFERENCE = "reference"  # weights that the present ones are compared with; None for the run's own
TOLD_APART, TUNE_HALF_SEED, TUNE_CLASSES = "told-apart", "half", "told-classes"  # which classes; a seed; chosen ones
FLIPPED = "flipped"  # which clips are listed: gained, lost, changed or any
SENTENCES_OF, SENTENCE_ENCODER = "captions", "sentences"  # where sentences come from; name of their encoder
TAU, TAU_BEFORE = "tau", "tau-before"  # bound on the distance of hard negatives, and one to compare with
NEGATIVES, ANCHOR = "negatives", "anchor"  # hard negatives a positive should have; number of the example sentence
WITH_MAP = "map-of-weights"  # whether accuracy over all three weights is shown, where it takes a while
SWEPT = "swept"  # name of the τ sweep of the command line that is shown
TUNE_WEIGHTS, TUNE_TAU = "weights", "tau"
TUNE_ALL, TUNE_HALF, TUNE_CHOSEN = "all", "half", "chosen"

# Library
SECTION = "section"  # of the page: one of SECTIONS
DESCRIBED, CHECKED_FOR = "described", "checkedfor"  # name of descriptions; whose classes they are
REWRITE, NEW_NAME = "rewrite", "newname"  # the class of the workshop, or NEW_CLASS; name of a new one
WORDED, WORDING = "worded", "wording"  # descriptions that a trial starts from; sentences, where they are others
EXAMPLES, SHARE = "examples", "share"  # ids of clips that show the class of the workshop; their λ, not in the address
HINTS = "hints"  # whether patterns for the class are shown, and the words that tell it from others
TURNED, TURNED_CLIP = "turned", "turnedclip"  # which clips of a trial are shown, and the one that is played
NEW_CLASS, AS_SCORED = "a new class …", "as it was scored"
SECTIONS = {
    "data": "Data sets", "stores": "Feature stores", "trained": "Runs and scores", "encoders": "Encoders",
    "words": "Class descriptions", "workshop": "Prototype workshop", "disk": "Disk use",
}  # fmt: skip

LONGEST_ADDRESS = 2000  # characters of labels; some browsers and servers refuse addresses much longer


def put(key: str, value: object) -> None:
    """For callbacks: set any key, before the widgets of the next run are drawn."""
    st.session_state[key] = value


def setter(label: str, widget: str, key: str, value: object, help: str = "", **more: Any) -> None:
    """A button that sets a key."""
    st.button(label, widget, help or None, on_click=put, args=(key, value), **more)


def take_address(key: str, known: Collection[str], most: int | None = None) -> None:
    """Before a widget that pages share is drawn: let a new address decide its value, and drop what is not known.
    Streamlit forgets such a value when the page changes; so the last one is remembered here, and `put_address` writes
    the address."""
    said, value = st.query_params.get_all(key), st.session_state.get(f"{key} remembered")
    if said and said != st.session_state.get(f"{key} in address"):
        value = said
    elif key in st.session_state:
        value = st.session_state[key] if most != 1 else [st.session_state[key]]
    if value is None:
        return
    value = [name for name in value if name in known][:most]
    if most == 1 and not value:
        st.session_state.pop(key, None)
    else:
        st.session_state[key] = value[0] if most == 1 else value


def put_address(key: str, value: list[str], default: list[str]) -> None:
    """After the widget is drawn: remember its value, and keep the address in step with it."""
    st.session_state[f"{key} remembered"] = value
    said = [] if value == default or sum(map(len, value)) > LONGEST_ADDRESS else value
    st.session_state[f"{key} in address"] = said
    tell(key, said)


def tell(key: str, said: str | list[str]) -> None:
    """Put this into the address, or take it out if it is empty."""
    if not said:
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != ([said] if isinstance(said, str) else said):
        st.query_params[key] = said
