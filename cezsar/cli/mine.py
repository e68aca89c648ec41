"""`cezsar mine`: annotations and features to training triplets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, output, save
from cezsar.cli.options import Given, with_settings
from cezsar.config import MiningConfig

EXAMPLES = """[bold]Examples[/bold]

cezsar mine activitynet-captions --store features/activitynet-bit --sentences distilroberta --out triplets.safetensors

cezsar mine captions.json --store features/mine --sentences minilm --tau 0.7 --negatives 10 --seed 1 --out t.safetensors
"""


@with_settings(MiningConfig)
def command(
    annotations: Annotated[
        str,
        typer.Argument(
            help="Timestamped captions in ActivityNet Captions form (JSON), or activitynet-captions: the train.json of "
            "that data set; activitynet-captions:val_1 for another part."
        ),
    ],
    store: Annotated[Path, typer.Option(help="Feature store of the annotated videos.")],
    out: Annotated[Path, typer.Option(help="The triplets file to write.", callback=output())],
    sentences: Annotated[
        str, typer.Option(help="Sentence encoder: minilm, distilroberta, any sentence-transformers name or folder.")
    ] = "minilm",
    *,
    settings: Given,
    head: Annotated[
        Path | None, typer.Option(help="An object recogniser (.safetensors) to use in place of the encoder's own.")
    ] = None,
    encoder_weights: Annotated[
        Path | None, typer.Option(help="Weights of the store's encoder, for its object head.")
    ] = None,
) -> None:
    """Cut random sub-clips and draw hard negatives for them: close to their sentences, but not the same."""
    import numpy as np

    from cezsar.data.annotations import load_annotations
    from cezsar.data.datasets import captions_of, is_name
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.base import ObjectHead
    from cezsar.encoders.objects import LinearHead
    from cezsar.training.triplets import build, head_of_store

    file = captions_of(annotations) if is_name(annotations) else Path(annotations)
    captions = load_annotations(file)
    features = FeatureStore(store)
    mining = MiningConfig(**settings[MiningConfig])
    names: ObjectHead | None = LinearHead.load(head) if head else None
    if names is None and mining.object_positives:
        names = head_of_store(features, encoder_weights)
    with Progress("mining") as progress:
        triplets = build(
            captions,
            features,
            open_encoder(sentences),
            np.random.default_rng(mining.seed),
            mining,
            head=names,
            record={"annotations": file.name, "seed": mining.seed},
            on_progress=progress,
        )
    save((out, triplets.save))
    record = triplets.record
    print(
        f"{out}: {record['triplets']:,} triplets from {record['segments']:,} segments of {record['videos']:,} videos, "
        f"tau = {mining.tau}"
    )
    if mining.object_positives and names is None:
        print("  human sentences only: this store's encoder names no objects")
    if record["videos_without_features"]:
        print(f"  {record['videos_without_features']:,} annotated videos are not in the store and were left out")
    for line in captions.repairs:
        print(f"  {line}")
    if record["segments_beyond_the_film"]:
        print(f"  {record['segments_beyond_the_film']:,} segments begin after the end of their film and were left out")
    if record["sub_clips_with_too_few_candidates"]:
        few, fewest = record["sub_clips_with_too_few_candidates"], record["fewest_candidates"]
        print(
            f"  {few:,} sub-clips have fewer than {mining.negatives} candidates (the fewest: {fewest}); "
            "they get what there is, a larger tau gives more"
        )
