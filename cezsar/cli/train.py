"""`cezsar train`: triplets, or labelled clips, to a run."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cezsar.cli.console import Progress, duration, output
from cezsar.cli.options import Given, with_settings
from cezsar.config import ModelConfig, TrainingConfig, UseConfig

if TYPE_CHECKING:
    from cezsar.training.runs import Run

EXAMPLES = """[bold]Examples[/bold]

cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar

cezsar train t.safetensors --store features/mine --out runs/mine --lr 1e-3 --d-model 256 --standardise

cezsar train t.safetensors --store features/mine --out runs/mine --head props.safetensors --prototypes classes.json

cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar --resume

cezsar train demo:train --method cross-modal --store workspace/features/demo-train --out workspace/runs/cross-modal
"""


class Trained(StrEnum):
    """Methods that have something to train."""

    cezsar = "cezsar"
    cross_modal = "cross-modal"


@with_settings(ModelConfig, TrainingConfig, UseConfig)
def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A file written by `cezsar mine`; for the cross-modal method a labelled data set, as in `cezsar "
            "evaluate`, or demo:train.",
            metavar="TRIPLETS",
        ),
    ],
    store: Annotated[Path, typer.Option(help="The feature store of the videos.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.", callback=output(folder=True))],
    settings: Given,
    method: Annotated[
        Trained,
        typer.Option(
            help="cezsar, or cross-modal: a Transformer over frames and label tokens with semantic transfer, after Lin "
            "et al. Its defaults are 30 epochs, patience 6, batch 64, lr 1e-3, weight decay 0.01, width 256, 4 heads."
        ),
    ] = Trained.cezsar,
    sentences: Annotated[str, typer.Option(help="Sentence encoder of the cross-modal method.")] = "minilm",
    seen_prototypes: Annotated[
        str | None, typer.Option(help="Descriptions of the labelled classes; the data set's own by default.")
    ] = None,
    head: Annotated[Path | None, typer.Option(help="An object recogniser (.safetensors) to keep in the run.")] = None,
    prototypes: Annotated[
        str | None, typer.Option(help="Class descriptions to rank by default, kept there too: a file, or ucf101, ...")
    ] = None,
    domain: Annotated[str, typer.Option(help="One line on what the training videos show.")] = "unnamed videos",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; the best one by default.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out, to the same result.")] = False,
) -> None:
    """Train the joint space with the triplet loss. Stopped runs go on with --resume and end with the same weights."""
    from cezsar.data.datasets import named_descriptions
    from cezsar.data.features import FeatureStore
    from cezsar.encoders.objects import LinearHead
    from cezsar.errors import InputError
    from cezsar.training.loop import train
    from cezsar.training.triplets import Triplets

    descriptions = named_descriptions(prototypes) if prototypes else None
    if head and method is Trained.cross_modal:
        raise InputError("--head goes with CEZSAR: the cross-modal method uses no objects")
    with Progress("training") as progress:
        if method is Trained.cross_modal:
            run = _cross_modal(
                progress, source, store, out, settings, sentences, seen_prototypes, descriptions,
                domain=domain, resume=resume, device=device,
            )  # fmt: skip
        else:
            run = train(
                Triplets.load(source),
                FeatureStore(store),
                out,
                model=settings[ModelConfig],
                training=settings[TrainingConfig],
                use=UseConfig(**settings[UseConfig]),
                domain=domain,
                head=LinearHead.load(head) if head else None,
                descriptions=descriptions,
                resume=resume,
                device=device,
                on_progress=partial(show, progress, settings[TrainingConfig].get("epochs", TrainingConfig.epochs)),
            )
    record = run.record()
    print(
        f"{run.folder}: best epoch {record['best_epoch']} of {record['epochs']}, validation loss "
        f"{record['validation_loss']:.4f}, {duration(record['seconds'])}"
    )


def _cross_modal(
    progress: Progress,
    source: str,
    store: Path,
    out: Path,
    settings: Given,
    sentences: str,
    described: str | None,
    descriptions: dict[str, list[str]] | None,
    **options: Any,
) -> Run:
    from cezsar.data.datasets import named_descriptions, open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.cross_modal import TRAINING, TRIALS, clips_of, train

    data = open_dataset(source)
    clips = clips_of(data, FeatureStore(store), named_descriptions(described) if described else data.descriptions)
    epochs = settings[TrainingConfig].get("epochs", TRAINING["epochs"])

    def show_epoch(line: dict[str, Any]) -> None:
        done = (line["trial"] - 1 if "trial" in line else TRIALS) * epochs + line["epoch"]
        part = f"trial {line['trial']}" if "trial" in line else "all classes"
        progress(done, (TRIALS + 1) * epochs, f"{part}, epoch {line['epoch']}, held-out {line['held_out_top1']:.1%}")

    return train(
        clips,
        open_encoder(sentences),
        out,
        model=settings[ModelConfig],
        training=settings[TrainingConfig],
        descriptions=descriptions,
        on_progress=show_epoch,
        **options,
    )


def show(progress: Progress, epochs: int, line: dict[str, Any]) -> None:
    """One line of a training history; progress is over all epochs."""
    if line["kind"] == "epoch":
        progress.line(
            f"epoch {line['epoch']}: loss {line['train_loss']:.4f}, validation {line['validation_loss']:.4f}"
            f"{' (best)' if line['best'] else ''}, dead units {line['dead_units']:.0%}"
        )
        progress.end_line()
    else:
        before, steps = line["epoch"] - 1, line["steps"]
        note = f"epoch {line['epoch']} of {epochs}, loss {line['loss']:.4f}, {line['triplets_per_s']:,.0f} triplets/s"
        progress(before * steps + line["step"], epochs * steps, note)
