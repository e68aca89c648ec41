"""`cezsar tau-sweep`: a run for each bound on hard negatives, and accuracy against it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cezsar.cli.console import Progress, output, save

T = TypeVar("T", int, float)
EXAMPLES = """[bold]Examples[/bold]

cezsar tau-sweep activitynet-captions --store features/activitynet-bit --sentences distilroberta --dataset ucf101
--test-store features/ucf101-bit --protocol ucf101-0/101 --taus 0.6,0.7,0.8,0.9 --out workspace/scores/tau

cezsar tau-sweep workspace/demo/train.json --store workspace/features/demo-train --dataset demo
--test-store workspace/features/demo-test --taus 0.4,0.8 --seeds 0,1 --negatives 20 --sub-clips 1 --objects 1
--object-positives 0 --lr 1e-3 --batch 64 --epochs 3 --d-model 256 --ffn 512 --standardise --out workspace/scores/tau
"""


def command(
    annotations: Annotated[str, typer.Argument(help="Timestamped captions, as in `cezsar mine`.")],
    store: Annotated[Path, typer.Option(help="Feature store of the annotated videos.")],
    dataset: Annotated[str, typer.Option(help="What is tested on, as in `cezsar evaluate`.")],
    test_store: Annotated[Path, typer.Option(help="Feature store of its clips.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for runs and tables; the page Tune shows those in the workspace's scores.",
            callback=output(folder=True),
        ),
    ],
    taus: Annotated[str, typer.Option(help="Bounds on the cosine distance, in (0, 2].")] = "0.6,0.7,0.8,0.9",
    seeds: Annotated[str, typer.Option(help="Of sub-clips, negatives, weights and order: a run for each.")] = "0",
    protocol: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "all",
    splits: Annotated[int, typer.Option(min=1, help="Random splits of the protocol.")] = 50,
    splits_seed: Annotated[int, typer.Option(help="Of these, the same for every run.")] = 0,
    sentences: Annotated[str, typer.Option(help="Sentence encoder, as in `cezsar mine`.")] = "minilm",
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives for each positive.")] = 10,
    sub_clips: Annotated[int, typer.Option(min=1, help="Random sub-clips for each segment.")] = 3,
    object_positives: Annotated[int, typer.Option(min=0, help="Object sentences that join the human one.")] = 2,
    most_short: Annotated[
        float, typer.Option(min=0, max=1, help="Leave a τ out where more of the sentences lack candidates: a share.")
    ] = 0.5,
    recipe: Annotated[
        str | None, typer.Option(help="paper or released, as in `cezsar train`; so are the next.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better validation loss.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sub-clips a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="AdamW learning rate.")] = None,
    margin: Annotated[float | None, typer.Option(help="The margin ε of the triplet loss, Eq. 7.")] = None,
    d_model: Annotated[int | None, typer.Option(help="Width of the Transformer encoder.")] = None,
    d_emb: Annotated[int | None, typer.Option(help="Width of the joint space.")] = None,
    ffn: Annotated[int | None, typer.Option(help="Inner width of the feed-forward net.")] = None,
    dropout: Annotated[float | None, typer.Option(help="In the Transformer encoder.")] = None,
    standardise: Annotated[bool, typer.Option(help="Standardise frame features by the training videos.")] = False,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    objects: Annotated[int, typer.Option(min=1, help="How many objects O(v) names.")] = 3,
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Weight of VE in Eq. 9; O has 1 - α.")] = 0.8,
    head: Annotated[
        Path | None, typer.Option(help="An object recogniser (.safetensors), to mine with and to keep in each run.")
    ] = None,
    prototypes: Annotated[str | None, typer.Option(help="Class descriptions, as in `cezsar evaluate`.")] = None,
    encoder_weights: Annotated[Path | None, typer.Option(help="Weights of the store's encoder.")] = None,
    domain: Annotated[str, typer.Option(help="One line on what the training videos show.")] = "unnamed videos",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; the best one by default.")] = None,
) -> None:
    """Train one run for each τ and seed on the same videos and splits, and table accuracy against τ (Section 5).

    Options of training that are not given are the paper's. The same command goes on where a sweep was stopped.
    """
    from cezsar.analysis.tau_sweep import Material, Settings, sweep
    from cezsar.cli.train import recogniser
    from cezsar.data.annotations import load_annotations
    from cezsar.data.datasets import captions_of, is_name
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.triplets import head_of_store
    from cezsar.zeroshot.methods import Sources

    file = captions_of(annotations) if is_name(annotations) else Path(annotations)
    features = FeatureStore(store)
    own = recogniser(head, features.dim) if head else None
    names = own or (head_of_store(features, encoder_weights) if object_positives else None)
    sources = Sources.opened(dataset, prototypes, stores=[test_store])
    material = Material(load_annotations(file), features, open_encoder(sentences), sources, names, own, file.name)
    model = {"recipe": recipe, "d_model": d_model, "d_emb": d_emb, "ffn": ffn, "dropout": dropout}
    training = {"epochs": epochs, "patience": patience, "batch": batch, "lr": lr, "margin": margin}
    settings = Settings(
        negatives=negatives,
        sub_clips=sub_clips,
        object_positives=object_positives,
        model=_given(model),
        training=_given(training | {"precision": precision, "standardise": standardise or None}),
        objects=objects,
        fusion={"alpha": alpha, "beta": round(1 - alpha, 6), "gamma": 0.0},
        domain=domain,
        protocol=protocol,
        splits=splits,
        splits_seed=splits_seed,
        most_short=most_short,
    )
    bounds, starts = _numbers("--taus", taus, float), _numbers("--seeds", seeds, int)
    with Progress("") as progress:
        found = sweep(material, settings, bounds, starts, out, device=device, on_progress=partial(_show, progress))
    print(found.text())
    print("wrote " + ", ".join(map(str, *save((out, found.save)))))
    if not any(row.done for row in found.rows()):
        raise typer.Exit(1)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that were given; the others keep the paper's values."""
    return {name: value for name, value in options.items() if value is not None}


def _numbers(option: str, text: str, kind: type[T]) -> list[T]:
    """Numbers with commas between them."""
    from cezsar.errors import InputError

    try:
        return [kind(word) for word in text.replace(";", ",").split(",") if word.strip()]
    except ValueError as error:
        raise InputError(f"{option} {text!r} is no list of numbers; write it as 0.7,0.8 or 0,1") from error


def _show(progress: Progress, stage: str, done: int, total: int, note: str) -> None:
    """Each stage on a line of its own."""
    if stage != progress.title:
        progress.end_line()
        progress.title = stage
        progress.restart()
    progress(done, total, note)
