"""`cezsar tau-sweep`: a run for each bound on hard negatives, and accuracy against it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, output, save
from cezsar.cli.options import Given, with_settings
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, numbers

EXAMPLES = """[bold]Examples[/bold]

cezsar tau-sweep activitynet-captions --store features/activitynet-bit --sentences distilroberta --dataset ucf101
--test-store features/ucf101-bit --protocol ucf101-0/101 --taus 0.6,0.7,0.8,0.9 --out workspace/scores/tau

cezsar tau-sweep workspace/demo/train.json --store workspace/features/demo-train --dataset demo
--test-store workspace/features/demo-test --taus 0.4,0.8 --seeds 0,1 --negatives 20 --sub-clips 1 --objects 1
--object-positives 0 --lr 1e-3 --batch 64 --epochs 3 --d-model 256 --ffn 512 --standardise --out workspace/scores/tau
"""


@with_settings(MiningConfig, ModelConfig, TrainingConfig, UseConfig, without=("tau", "seed"))
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
    most_short: Annotated[
        float, typer.Option(min=0, max=1, help="Leave a τ out where more of the sentences lack candidates: a share.")
    ] = 0.5,
    *,
    settings: Given,
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
    from cezsar.data.annotations import load_annotations
    from cezsar.data.datasets import captions_of, is_name
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.objects import LinearHead
    from cezsar.sweep import Material, SweepConfig, sweep
    from cezsar.training.triplets import head_of_store
    from cezsar.zeroshot.methods import Sources

    file = captions_of(annotations) if is_name(annotations) else Path(annotations)
    features, mining = FeatureStore(store), MiningConfig(**settings[MiningConfig])
    own = LinearHead.load(head) if head else None
    names = own or (head_of_store(features, encoder_weights) if mining.object_positives else None)
    sources = Sources.opened(dataset, prototypes, stores=[test_store])
    captions = load_annotations(file)
    for line in captions.repairs:
        print(f"  {line}")
    material = Material(captions, features, open_encoder(sentences), sources, names, own, file.name)
    config = SweepConfig(
        mining,
        settings[ModelConfig],
        settings[TrainingConfig],
        UseConfig(**settings[UseConfig]),
        domain,
        protocol,
        splits,
        splits_seed,
        most_short,
    )
    bounds, starts = numbers("--taus", taus, float), numbers("--seeds", seeds, int)
    with Progress("") as progress:
        found = sweep(material, config, bounds, starts, out, device=device, on_progress=partial(_show, progress))
    print(found.text())
    print("wrote " + ", ".join(map(str, *save((out, found.save)))))
    if not any(row.done for row in found.rows()):
        raise typer.Exit(1)


def _show(progress: Progress, stage: str, done: int, total: int, note: str) -> None:
    """Each stage on a line of its own."""
    if stage != progress.title:
        progress.end_line()
        progress.title = stage
        progress.restart()
    progress(done, total, note)
