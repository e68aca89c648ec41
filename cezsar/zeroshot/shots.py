"""What an example is worth: accuracies by the number of clips that show a class (`cezsar.zeroshot.examples`), with and
without its sentences. Nothing of this is zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import percent
from cezsar.zeroshot.examples import ACROSS_GAP, WORTH, blended, centred, example_rows, share_of
from cezsar.zeroshot.fusion import Weights, active, decide, predict, row_blocks
from cezsar.zeroshot.scores import Embeddings, Scores, Several, unit_columns
from cezsar.zeroshot.tables import latex, markdown

if TYPE_CHECKING:
    import pandas as pd

WORTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
COUNTS = (0, 1, 2, 4, 8)  # examples a class
DRAWS = 20
WAYS = ("sentences", "examples", "blend")


@dataclass(frozen=True, eq=False)
class Shots:
    """Top-1 accuracies, fractions, of D draws for each number of examples a class. All of a draw are told on the same
    clips, none of which is an example in it."""

    counts: list[int]
    worth: float
    tested: list[int]  # clips, of each draw
    top1: dict[str, DoubleArray]  # of `WAYS` -> (D, counts); NaN for examples alone where there are none

    def table(self) -> pd.DataFrame:
        """A row for each number of examples: λ, and mean and sample deviation of each way, fractions."""
        import pandas as pd

        told: dict[str, object] = {"examples a class": self.counts}
        told["share of examples"] = [share_of(count, self.worth) for count in self.counts]
        for way, top1_DK in self.top1.items():
            told |= {way: top1_DK.mean(axis=0), f"{way}, std": top1_DK.std(axis=0, ddof=1)}
        return pd.DataFrame(told)

    def frame(self) -> pd.DataFrame:
        """The same as text, in percent."""
        import pandas as pd

        rows = []
        for row in self.table().to_dict("records"):
            told = {"Examples a class": f"{row['examples a class']}", "λ": f"{row['share of examples']:.2f}"}
            for way in self.top1:
                alone = row[way] != row[way]  # NaN: there are no examples
                told[f"{way.capitalize()} (%)"] = "" if alone else percent(row[way], row[f"{way}, std"])
            rows.append(told)
        return pd.DataFrame(rows)

    def texts(self) -> dict[str, str]:
        """ ".csv", of fractions, ".md" and ".tex", in percent: the table in each form."""
        title = "Top-1 accuracy by examples a class, mean ± sample standard deviation."
        own = self.frame()
        return {".csv": self.table().to_csv(index=False), ".md": markdown(own), ".tex": latex(own, title)}


def shots(
    embeddings: Embeddings, weights: Weights, several: Several = "nearest", *, counts: Sequence[int] = COUNTS,
    draws: int = DRAWS, seed: int = 0, worth: float = WORTH,
) -> Shots:  # fmt: skip
    """What examples are worth on a data set. Each draw puts aside, in each class, as many clips as the largest of
    `counts`, but never all; the first n of them are its examples. Numbers that no class has clips for are left out.
    Raises `InputError` where none is left, where no class has two clips, for less than two draws, and as
    `example_rows` does."""
    counts = sorted(set(counts))
    if draws < 2 or not counts or counts[0] < 0:
        raise InputError(
            f"{draws} draws of {counts} examples were asked for; give two draws or more, and counts from 0"
        )
    whole = Scores.from_embeddings(embeddings, several)
    class_N, classes = whole.label_index, range(len(whole.class_names))
    most = int(np.bincount(class_N[class_N >= 0], minlength=1).max()) - 1
    if most < 1 and counts[-1]:
        raise InputError("no class has two clips, one to show and one to test; take a larger data set")
    if counts[0] > (most := max(most, 0)):
        raise InputError(f"{counts[0]:,} examples a class leave nothing to test; ask for {most:,} at most")
    counts = [count for count in counts if count <= most]
    counted = active(whole, weights)
    fused_NE = np.sum([weight * embeddings.modalities[name] for name, weight in counted.items()], axis=0, dtype="f4")
    rows_NE = example_rows(embeddings.modalities, weights)
    sentences = [embeddings.prototypes[embeddings.prototype_class == c] for c in classes]
    told_N = predict(whole, weights) == class_N  # by the sentences alone: the zero-shot answers
    top1, tested = {way: np.full((draws, len(counts)), np.nan) for way in WAYS}, list[int]()
    for draw, rng in enumerate(np.random.default_rng(seed).spawn(draws)):
        mixed = rng.permutation(np.flatnonzero(class_N >= 0))
        aside = [own[: min(counts[-1], max(0, len(own) - 1))] for own in (mixed[class_N[mixed] == c] for c in classes)]
        rest = np.setdiff1d(mixed, np.concatenate(aside))
        tested.append(len(rest))
        for column, count in enumerate(counts):
            top1["sentences"][draw, column] = told_N[rest].mean()
            if not count:
                top1["blend"][draw, column] = told_N[rest].mean()
                continue
            examples = [rows_NE[own[:count]] for own in aside]
            numbers, told = list(map(len, examples)), sentences
            if embeddings.space in ACROSS_GAP:
                shown = {c: rows for c, rows in enumerate(examples) if len(rows)}
                told_by, shown_by = centred(dict(enumerate(told)), shown)
                told, examples = list(told_by.values()), [shown_by.get(c, rows) for c, rows in enumerate(examples)]
            for way in ("examples", "blend"):
                shares = [1.0 if way == "examples" else share_of(number, worth) for number in numbers]
                parts = list(map(blended, told, examples, shares))
                owner_P = np.repeat(classes, [len(part_PE) for part_PE in parts])
                predicted_N = _nearest(fused_NE, *unit_columns(np.concatenate(parts), owner_P, len(parts), several)[:2])
                top1[way][draw, column] = (predicted_N == class_N)[rest].mean()
    return Shots(counts, worth, tested, top1)


def _nearest(fused_NE: FloatArray, unit_PE: FloatArray, owner_P: IntArray) -> IntArray:
    """(N,) the class of the unit prototype that each clip's VidE is nearest to, as `fusion.predict` has it."""
    classes, starts = np.unique(owner_P, return_index=True)
    predicted_N = np.empty(len(fused_NE), np.int64)
    for rows in row_blocks(np.arange(len(fused_NE)), len(unit_PE)):
        similar_nP = fused_NE[rows] @ unit_PE.T
        several = len(classes) < len(unit_PE)
        predicted_N[rows] = decide(np.maximum.reduceat(similar_nP, starts, axis=1) if several else similar_nP, classes)
    return predicted_N


def chosen_worth(embeddings: Embeddings, weights: Weights, several: Several = "nearest", *, seed: int = 0) -> float:
    """The one of `WORTHS` that gives blends the best mean top-1, over 1 to 8 examples; of equal ones the smallest. Give
    a data set of seen classes: on the clips that figures are told on it would flatter them."""
    found = {
        worth: shots(embeddings, weights, several, counts=COUNTS[1:], seed=seed, worth=worth).top1["blend"].mean()
        for worth in WORTHS
    }
    return max(found, key=lambda worth: found[worth])
