"""The embedded default: the whole method on the stick-figure world, offline, in two or three minutes.

`run_demo` goes from drawn video files to accuracy on actions never trained on; `ship` packs what it made into the few
megabytes that come with the software.
"""

from cezsar.demo.controls import SPLIT_SEED, SPLITS, colour_store, evaluate_all, place_scores
from cezsar.demo.recogniser import fit_head
from cezsar.demo.run import (
    DOMAIN,
    PAPER,
    Data,
    Recipe,
    Report,
    Stages,
    make_data,
    mine_world,
    run_demo,
    scores_of,
    train_run,
)
from cezsar.demo.shipped import CAPTIONS, ship
from cezsar.world import SEED

__all__ = [
    "CAPTIONS",
    "DOMAIN",
    "PAPER",
    "SEED",
    "SPLITS",
    "SPLIT_SEED",
    "Data",
    "Recipe",
    "Report",
    "Stages",
    "colour_store",
    "evaluate_all",
    "fit_head",
    "make_data",
    "mine_world",
    "place_scores",
    "run_demo",
    "scores_of",
    "ship",
    "train_run",
]
