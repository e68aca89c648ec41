"""`cezsar calibrate`: what a run's scores are worth, and when none of the labels seems right."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cezsar.analysis.calibration import Calibrated
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Prepared

EXAMPLES = """[bold]Examples[/bold]

cezsar calibrate runs/cezsar --store features/kinetics400-bit --dataset kinetics400

cezsar calibrate runs/cezsar --store features/hmdb51-bit --dataset hmdb51 --unknown-dataset ucf101
--unknown-store features/ucf101-bit --rate 0.1
"""


class ScoreKind(StrEnum):
    """How much speaks for a clip being of one of the labels."""

    cosine = "cosine"
    probability = "probability"
    margin = "margin"
    energy = "energy"


def command(
    run: Annotated[Path, typer.Argument(help="A trained run; what is chosen is kept in its folder.")],
    store: Annotated[Path, typer.Option(help="Feature store of the labelled clips.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="Labelled clips whose classes the run may know: of seen classes, or of any data set but the one you "
            "report figures on. Written as in `cezsar evaluate`."
        ),
    ],
    unknown_dataset: Annotated[
        str | None,
        typer.Option(
            help="Clips of other classes than DATASET has. With them, the threshold is the one at which at most RATE "
            "of them are accepted. Without, it is the one at which at most RATE of the known clips are rejected, and "
            "nothing is promised about unknown ones."
        ),
    ] = None,
    unknown_store: Annotated[
        Path | None, typer.Option(help="Feature store of the unknown clips; the same one by default.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Share of clips that may be told wrongly, from 0 to below 1.")] = 0.05,
    kind: Annotated[
        ScoreKind,
        typer.Option(
            help="What is held against the threshold: the best cosine, the best probability, the margin over the "
            "second label, or the energy. Cosine moves least with the number of labels."
        ),
    ] = ScoreKind.cosine,
    prototypes: Annotated[str | None, typer.Option(help="Class descriptions of DATASET, as in `evaluate`.")] = None,
) -> None:
    """Fit the temperature that turns a run's similarities into probabilities, and choose when to say "none of these".

    Both are kept in the run's folder, where `cezsar classify`, `cezsar.load` and the app find them. They are for the
    run's own weights. Clips and labels to come are others than these, so what they say is a warning, no guarantee.
    """
    from cezsar.analysis.calibration import calibrate, candidates, unknown_scores
    from cezsar.atomic import refuse_unwritable
    from cezsar.errors import InputError
    from cezsar.training.runs import Run
    from cezsar.zeroshot.rejection import allowed

    allowed(rate, 1)  # a wrong rate is told before clips are embedded
    if unknown_store is not None and unknown_dataset is None:
        raise InputError("--unknown-store needs --unknown-dataset, which says what its clips show")
    opened = Run.open(run)
    refuse_unwritable(opened.folder, folder=True)
    known = _embedded(opened, dataset, store, prototypes)
    unknown_UC, about_unknown = None, ""
    if unknown_dataset is not None:
        other = _embedded(opened, unknown_dataset, unknown_store or store, None)
        unknown_UC, ids = unknown_scores(other.embedded.embeddings, known.embedded.embeddings, known.weights)
        if left := len(other.embedded.embeddings.ids) - len(ids):
            print(f"{left:,} clips of {unknown_dataset} are of a class of {dataset} and are left out")
        about_unknown = f"{Path(unknown_dataset).name}, against the classes of {Path(dataset).name}"
    found = candidates(known.scores, known.weights)
    about = f"{Path(dataset).name}, among {len(found.classes):,} classes"  # runs travel, so no path of this machine
    result = calibrate(found, unknown_UC, rate=rate, kind=kind, about=about, about_unknown=about_unknown)
    _show(result)
    print("kept: " + ", ".join(str(path) for path in result.keep(opened.folder)))


def _embedded(run: Run, dataset: str, store: Path, prototypes: str | None) -> Prepared:
    """A data set's scores with the run's own weights, as `cezsar evaluate` has them."""
    from cezsar.cli.console import Progress
    from cezsar.zeroshot.methods import Sources, prepare

    sources = Sources.opened(dataset, prototypes, stores=[store])
    with Progress(f"embedding clips of {dataset}") as progress:
        ready = prepare(None, sources, run, progress)
    for line in (*sources.dataset.warnings, *ready.embedded.notes):
        print(f"{dataset}: {line}")
    return ready


def _show(result: Calibrated) -> None:
    fitted, rejector = result.calibration, result.rejector
    print(f"{fitted.clips:,} known clips of {fitted.about}; {result.accuracy:.1%} of them are named right")
    print(
        f"temperature T = {fitted.temperature:.4g}; expected calibration error {fitted.ece_before:.1%} before (T = 1), "
        f"{fitted.ece_after:.1%} after, on these clips"
    )
    if fitted.stopped != "inside":
        why = "the same for every T" if fitted.stopped == "flat" else f"best beyond the {fitted.stopped} T searched"
        print(f"careful: the likelihood is {why}, so probabilities mean little; give more clips")
    bound = f"threshold: a {rejector.title} of at least {rejector.threshold:.4g}"
    rejected = f"{result.known_rejected:,} of {fitted.clips:,} known clips are rejected"
    if result.auroc is None:
        print(f"{bound}; {rejected}, at most {rejector.rate:.1%} were asked for (false rejects)")
        print(
            "chosen from known clips alone: nothing is known about clips of other classes; to choose by those, give "
            "--unknown-dataset"
        )
    else:
        print(
            f"{bound}; {result.unknown_accepted:,} of {rejector.clips:,} unknown clips are accepted, at most "
            f"{rejector.rate:.1%} were asked for (false accepts)"
        )
        print(f"{rejected} at that threshold; AUROC of known against unknown clips {result.auroc:.1%}")
    print("these figures are of the clips it was chosen on; for other clips and labels it is a warning, no guarantee")
