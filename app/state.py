"""Every session_state key and query parameter.

Widgets bound with `bind="query-params"` carry their key as the parameter's name, so a copied address opens the same
view. Labels may be thousands: they go into the address by hand, as long as they fit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

# Shared by pages, so that a choice made on one is found on the next
ON = "on"  # name of the scored data set that figures are about
CLASSES = "classes"  # class names chosen to be looked at

# Classify
MODEL = "model"  # key of the model that answers, see parts.models.Model
BESIDE_MODEL = "besidemodel"  # key of a second model that ranks the same clip; "" for none
SOURCE = "from"  # where clips come from: UPLOADS or SAMPLES
UPLOADED = "uploads"  # the files; not in the address
TASK = "task"  # RANK or FIND_ONE
ACTION = "action"  # what is looked for by FIND_ONE
HIT = "hit"  # which row of the hits is played; not in the address
SAMPLE = "sample"  # id of a sample clip
OBJECTS = "objects"  # β of Eq. 9: how much the recognised objects count, the visual embedding getting the rest
CLIP = "clip"  # number of the clip whose answer is shown, where there are several
LABELS = "labels"  # the text in the box; in the address "@" and the name of a label set stand for the whole set
CAPTION = "caption-"  # begins the key of each clip's own caption; not in the address
CAPTION_WEIGHT = "caption-weight"  # γ of Eq. 9
WHY = "why"  # whether the reasons for the best label are shown
RIVAL = "rival"  # the label that the best one is compared with there; "" for the second
SECOND = "second-"  # begins the key of each clip's seconds, of which one can be clicked; not in the address
SPAN = "span-"  # begins the key of each clip's time line, in which a span can be clicked; not in the address
UNLIKE = "unlike"  # times the usual distance from training at which a clip gets no answer
LEAST, LEAD = "least", "lead"  # similarity, and lead over the second label, below which it gets none

SAMPLES, UPLOADS = "samples", "mine"
RANK, FIND_ONE = "rank", "find"

# Train
PART = "part"  # of the page: NEW_RUN, RUNS or LOAD
CHOSEN_RUNS = "runs"  # names of runs looked at or compared
METRIC = "compare-by"  # of results side by side
METHOD = "method"  # of a new run
NEW = "new-"  # begins the key of every setting of a new run, such as "new-tau"

NEW_RUN, RUNS, LOAD = "new", "list", "load"

# Confusion
SPEAKS = "speaks"  # what the first matrix is predicted from: a modality or the fusion
BESIDE = "beside"  # whether a second matrix is shown
WITH = "with"  # name of its scored data set
WITH_SPEAKS = "withspeaks"  # what it is predicted from
SPEAKS_BETA, WITH_BETA = "speaksbeta", "withbeta"  # β of Eq. 9 for weights of one's own
WHICH = "which"  # classes shown: all, those of hard groups, or chosen ones
HARD = "hard"  # the hard groups shown
AMONG = "among"  # which classes predictions are among
CELLS = "cells"  # shares or counts
LINED = "lined"  # order of the classes
ZOOM = "zoom"  # rows and columns of a large matrix that are shown in full: "3-20,7-25"
TRUE, TAKEN = "true", "taken"  # the cell whose clips are shown
SIDE = "side"  # which of two matrices they are of: IN_A, IN_B, ONLY_A or ONLY_B
SHOT = "shot"  # id of the clip that is played
GROUPS_OF = "groupsof"  # whose hard groups errors are counted in
CONTROLLED = "controlled"  # the group that is set beside random classes, or all
OUTSIDE = "outsideonly"  # whether these are drawn outside of the groups only

ALL, BY_GROUP, CHOSEN = "all", "groups", "chosen"
IN_A, IN_B, ONLY_A, ONLY_B = "a", "b", "onlya", "onlyb"

# Evaluate
COMPARED = "compared"  # names of further scored sets of the same data set
PROTOCOL = "protocol"  # all, half, random classes, or a list
DRAW, SPLITS, SEED = "draw", "splits", "seed"  # of random classes: how many, how often, from which seed
LISTED_BY = "listed-by"  # how such a list is given: picked, typed or in a file
TYPED_CLASSES = "typed-classes"  # the text of such a list; not in the address
EVALUATED = "rows"  # what the table has rows of: "VE", "O", "C", "fused"
OWN_WEIGHTS = "own-weights"  # whether each run keeps its own α, β and γ, else:
WEIGHT_OF = {"VE": "weight-ve", "O": "weight-o", "C": "weight-c"}
ROW, SPLIT = "row", "split"  # whose splits are looked at, and which one, from 1
LOOK = "look"  # what is shown below the table: splits and classes, differences, ...
AGAINST = "against"  # title of the row that others are compared with
CONFIDENCE = "confidence"  # how known clips are told from unknown ones
LET_IN = "let-in"  # unknown clips that may be taken for known ones, in percent

# Semantic gap
PERPLEXITY = "perplexity"  # of t-SNE
MAP_SEED = "map-seed"  # of the choice of clips and of t-SNE
MAP_CLIPS = "map-clips"  # clips on a map at the most
FITTED = "fitted"  # True: only the chosen classes are fitted
SELECT_BY = "select-by"  # CLICK or LASSO
MAP_CLIP = "map-clip"  # id of the clip that is played
GAP_SPACE = "gap-space"  # space in which classes are judged, and of their table
MAP_PICKED = "map picked"  # ids of the clips that stand out
MAP_TOUCHED = "map touched"  # space of the map in which they were selected, if they were
MAP_MARKS = "map marks"  # space -> positions of the clips that stand out in its figure
MAP_KIND = "map kind"  # what the figures were drawn from: others carry no selection yet
FAULT_CLASS = "fault-class"  # the class whose errors are looked at
FAULT_SIDE = "fault-side"  # which of its clips: the text's fault, the video's, or right
FAULT_CLIP = "fault clip"  # id of the one that is played; not in the address
SHIFT_FROM = "shift-from"  # name of the feature store of training videos
CLICK, LASSO = "click", "lasso"
PINNED = "pinned clip"  # {"name", "run", "joint", "sentence"}: a clip of the page Classify to be shown on maps

# Tune
TUNED = "tune"  # what is tuned: TUNE_WEIGHTS or TUNE_TAU
ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"  # weights of VE, O and C in Eq. 9
FREE = "free"  # whether β is chosen apart from α, with two modalities
REFERENCE = "ref"  # weights that the present ones are compared with, such as "0.8 0.2 0"; "" for the run's own
TOLD_APART = "told-apart"  # which classes: TUNE_ALL, TUNE_HALF or TUNE_CHOSEN
TUNE_HALF_SEED = "half"  # seed of the random half
TUNE_CLASSES = "told-classes"  # the classes, where they are chosen
FLIPPED = "flipped"  # which clips are listed: gained, lost, changed or any
SENTENCES_OF = "captions"  # where the sentences come from
SENTENCE_ENCODER = "sentences"  # name of their encoder
TAU, TAU_BEFORE = "tau", "tau-before"  # bound on the distance of hard negatives, and one to compare with
NEGATIVES = "negatives"  # how many hard negatives a positive should have
ANCHOR = "anchor"  # number of the example sentence
WITH_MAP = "map-of-weights"  # whether accuracy over all three weights is shown, where it takes a while
SWEPT = "swept"  # name of the τ sweep of the command line that is shown

TUNE_WEIGHTS, TUNE_TAU = "weights", "tau"
TUNE_ALL, TUNE_HALF, TUNE_CHOSEN = "all", "half", "chosen"

# Library
SECTION = "section"  # of the page: one of SECTIONS
DESCRIBED = "described"  # name of the class descriptions that are looked at
FIND = "find"  # words looked for in them
CHECKED_FOR = "checkedfor"  # the data set whose classes they should describe
REWRITE = "rewrite"  # the class whose sentences are tried in the workshop, or NEW_CLASS
NEW_NAME = "newname"  # of a new class there
WORDED = "worded"  # descriptions that a trial starts from: AS_SCORED, or one's own
WORDING = "wording"  # the sentences that are tried; in the address where they are not what the class has
ADDED = "added"  # whether they join sentences that are not known, instead of taking their place
TURNED, TURNED_CLIP = "turned", "turnedclip"  # which clips of a trial are shown, and the one that is played

NEW_CLASS, AS_SCORED = "a new class …", "as it was scored"

SECTIONS = {
    "data": "Data sets",
    "stores": "Feature stores",
    "trained": "Runs and scores",
    "encoders": "Encoders",
    "words": "Class descriptions",
    "workshop": "Prototype workshop",
    "disk": "Disk use",
}

_DEFAULT_LABELS = "default labels"  # the text that the box held before anyone typed
_LONGEST_ADDRESS = 2000  # characters of labels; some browsers and servers refuse addresses much longer


def put(key: str, value: object) -> None:
    """For callbacks: set any key, before the widgets of the next run are drawn."""
    st.session_state[key] = value


def take_address(key: str, known: Collection[str], most: int | None = None) -> None:
    """Before a widget that pages share is drawn: let a new address decide its value, and drop what is not known.

    Streamlit forgets such a value when the page changes, and a value bound to the address when it came with it. So the
    last one is remembered here, and `put_address` writes the address; one that says anything else is news.
    """
    said = st.query_params.get_all(key)
    value: list[str] | None
    if said and said != st.session_state.get(f"{key} in address"):
        value = said
    elif key in st.session_state:
        value = st.session_state[key] if most != 1 else [st.session_state[key]]
    else:
        value = st.session_state.get(f"{key} remembered")
    if value is None:
        return
    value = [name for name in value if name in known][:most]
    if most != 1:
        st.session_state[key] = value
    elif value:
        st.session_state[key] = value[0]
    else:
        st.session_state.pop(key, None)


def put_address(key: str, value: list[str], default: list[str]) -> None:
    """After the widget is drawn: remember its value, and keep the address in step with it."""
    st.session_state[f"{key} remembered"] = value
    said = [] if value == default or sum(map(len, value)) > _LONGEST_ADDRESS else value
    if st.query_params.get_all(key) != said:
        if said:
            st.query_params[key] = said
        else:
            del st.query_params[key]
    st.session_state[f"{key} in address"] = said


def begin_labels(default: str, sets: Mapping[str, str]) -> None:
    """Put text into the label box before it is drawn: what the address says, else `default`.

    When another model brings other default labels, they replace the old ones unless somebody typed.

    Args:
        sets: name -> text of each label set.
    """
    if LABELS not in st.session_state:
        said = st.query_params.get(LABELS, default)
        st.session_state[LABELS] = sets.get(said[1:], said) if said.startswith("@") else said
    elif st.session_state[LABELS] == st.session_state.get(_DEFAULT_LABELS):
        st.session_state[LABELS] = default
    st.session_state[_DEFAULT_LABELS] = default


def set_labels(text: str) -> None:
    """For callbacks: replace the labels in the box."""
    st.session_state[LABELS] = text


def publish_labels(sets: Mapping[str, str]) -> None:
    """Keep the address in step with the label box."""
    text = st.session_state[LABELS]
    name = next((name for name, content in sets.items() if content == text), None)
    said = text if name is None else f"@{name}"
    if text == st.session_state[_DEFAULT_LABELS] or len(said) > _LONGEST_ADDRESS:
        st.query_params.pop(LABELS, None)
    elif st.query_params.get(LABELS) != said:
        st.query_params[LABELS] = said


def begin(key: str, default: float) -> None:
    """Before a widget is drawn whose default goes with the model: another default replaces the old one, unless somebody
    has moved it."""
    before = st.session_state.get(f"{key} default")
    if before not in (None, default) and st.session_state.get(key) == before:
        st.session_state[key] = default
    st.session_state[f"{key} default"] = default


def choose_sample(sample: str) -> None:
    """For callbacks: show this sample."""
    st.session_state[SOURCE] = SAMPLES
    st.session_state[SAMPLE] = sample


def choose_uploads() -> None:
    """For callbacks: show the files that were uploaded, if any are left."""
    if st.session_state[UPLOADED]:
        st.session_state[SOURCE] = UPLOADS
