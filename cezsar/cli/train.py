"""`cezsar train`: triplets to a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cezsar.cli.console import Progress, duration, output

if TYPE_CHECKING:
    from cezsar.encoders.objects import LinearHead

EXAMPLES = """[bold]Examples[/bold]

cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar

cezsar train t.safetensors --store features/mine --out runs/mine --lr 1e-3 --d-model 256 --standardise

cezsar train t.safetensors --store features/mine --out runs/mine --head props.safetensors --prototypes classes.json

cezsar train triplets.safetensors --store features/activitynet-bit --out runs/cezsar --resume
"""


def command(
    triplets: Annotated[Path, typer.Argument(help="A file written by `cezsar mine`.")],
    store: Annotated[Path, typer.Option(help="The feature store the triplets were mined with.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.", callback=output(folder=True))],
    recipe: Annotated[str, typer.Option(help="paper, or released (the authors' code).")] = "paper",
    epochs: Annotated[int, typer.Option(help="At most.")] = 25,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation loss before stopping.")] = 10,
    batch: Annotated[int, typer.Option(help="Sub-clips a step (triplets a step with --order triplet).")] = 128,
    lr: Annotated[float, typer.Option(help="AdamW learning rate.")] = 1e-4,
    weight_decay: Annotated[float, typer.Option(help="AdamW weight decay.")] = 1e-5,
    margin: Annotated[float, typer.Option(help="The margin ε of the triplet loss, Eq. 7.")] = 1.0,
    d_model: Annotated[int, typer.Option(help="Width of the Transformer encoder.")] = 512,
    d_emb: Annotated[int, typer.Option(help="Width of the joint space.")] = 128,
    ffn: Annotated[int, typer.Option(help="Inner width of the feed-forward net.")] = 2048,
    heads: Annotated[int, typer.Option(help="Attention heads.")] = 2,
    layers: Annotated[int, typer.Option(help="Transformer layers.")] = 1,
    dropout: Annotated[float, typer.Option(help="In the Transformer encoder.")] = 0.1,
    validation: Annotated[float, typer.Option(help="Share of the videos kept for the validation loss.")] = 0.1,
    order: Annotated[str, typer.Option(help="sub-clip: VE once for all its triplets; or triplet: one at a time.")] = (
        "sub-clip"
    ),
    standardise: Annotated[bool, typer.Option(help="Standardise frame features by the training videos.")] = False,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    objects: Annotated[int, typer.Option(min=1, help="How many objects O(v) names.")] = 3,
    alpha: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of VE in Eq. 9, kept as default; O has 1 - α.")
    ] = 0.8,
    head: Annotated[Path | None, typer.Option(help="An object recogniser (.safetensors) to keep in the run.")] = None,
    prototypes: Annotated[
        str | None, typer.Option(help="Class descriptions to rank by default, kept there too: a file, or ucf101, ...")
    ] = None,
    domain: Annotated[str, typer.Option(help="One line on what the training videos show.")] = "unnamed videos",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; the best one by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and dropout.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out, to the same result.")] = False,
) -> None:
    """Train the joint space with the triplet loss. Stopped runs go on with --resume and end with the same weights."""
    from cezsar.data.datasets import named_descriptions
    from cezsar.data.descriptions import save_descriptions
    from cezsar.data.features import FeatureStore
    from cezsar.training.loop import config_for, train
    from cezsar.training.triplets import Triplets

    data, features = Triplets.load(triplets), FeatureStore(store)
    own = recogniser(head, features.dim) if head else None
    descriptions = named_descriptions(prototypes) if prototypes else None
    config = config_for(
        data,
        features,
        model={
            "d_model": d_model,
            "d_emb": d_emb,
            "ffn": ffn,
            "heads": heads,
            "layers": layers,
            "dropout": dropout,
            "recipe": recipe,
        },
        training={
            "epochs": epochs,
            "patience": patience,
            "batch": batch,
            "lr": lr,
            "weight_decay": weight_decay,
            "margin": margin,
            "validation": validation,
            "order": order,
            "standardise": standardise,
            "precision": precision,
            "seed": seed,
        },
        domain=domain,
        objects=objects,
        fusion={"alpha": alpha, "beta": round(1 - alpha, 6), "gamma": 0.0},
    )
    with Progress("training") as progress:
        on_progress = partial(show, progress, epochs)
        run = train(data, features, out, config, resume=resume, device=device, on_progress=on_progress)
    if own:
        own.save(run.folder / "objects.safetensors")
    if descriptions:
        save_descriptions(run.folder / "prototypes.json", descriptions)
    record = run.record()
    print(
        f"{run.folder}: best epoch {record['best_epoch']} of {record['epochs']}, validation loss "
        f"{record['validation_loss']:.4f}, {duration(record['seconds'])}"
    )


def recogniser(path: Path, dim: int) -> LinearHead:
    """The object head at `path`, for features of width `dim`."""
    from cezsar.encoders.objects import LinearHead
    from cezsar.errors import MismatchError

    head = LinearHead.load(path)
    if head.weight.shape[1] != dim:
        raise MismatchError(
            f"{path} recognises objects in features of {head.weight.shape[1]} columns, the store's have {dim}; "
            "give one that was made for the store's encoder"
        )
    return head


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
