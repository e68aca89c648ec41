"""`cezsar mine`: annotations and features to training triplets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cezsar.data.annotations import Annotations

from cezsar.cli.console import Progress, output, save

EXAMPLES = """[bold]Examples[/bold]

cezsar mine activitynet-captions --store features/activitynet-bit --sentences distilroberta --out triplets.safetensors

cezsar mine captions.json --store features/mine --sentences minilm --tau 0.7 --negatives 10 --seed 1 --out t.safetensors
"""


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
    tau: Annotated[float, typer.Option(help="Upper bound on a hard negative's cosine distance, in (0, 2].")] = 0.8,
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives for each positive.")] = 10,
    sub_clips: Annotated[int, typer.Option(min=1, help="Random sub-clips of at most 10 s for each segment.")] = 3,
    object_positives: Annotated[int, typer.Option(min=0, help="Object sentences that join the human one.")] = 2,
    head: Annotated[
        Path | None, typer.Option(help="An object recogniser (.safetensors) to use in place of the encoder's own.")
    ] = None,
    encoder_weights: Annotated[
        Path | None, typer.Option(help="Weights of the store's encoder, for its object head.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sub-clips and negatives.")] = 0,
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
    names: ObjectHead | None = LinearHead.load(head) if head else None
    if names is None and object_positives:
        names = head_of_store(features, encoder_weights)
    with Progress("mining") as progress:
        triplets = build(
            captions,
            features,
            open_encoder(sentences),
            np.random.default_rng(seed),
            head=names,
            tau=tau,
            negatives=negatives,
            sub_clips=sub_clips,
            object_positives=object_positives,
            record={"annotations": file.name, "seed": seed},
            on_progress=progress,
        )
    save((out, triplets.save))
    record = triplets.record
    print(
        f"{out}: {record['triplets']:,} triplets from {record['segments']:,} segments of {record['videos']:,} videos, "
        f"tau = {tau}"
    )
    if object_positives and names is None:
        print("  human sentences only: this store's encoder names no objects")
    if record["videos_without_features"]:
        print(f"  {record['videos_without_features']:,} annotated videos are not in the store and were left out")
    for line in repairs(captions):
        print(f"  {line}")
    if record["segments_beyond_the_film"]:
        print(f"  {record['segments_beyond_the_film']:,} segments begin after the end of their film and were left out")
    if record["sub_clips_with_too_few_candidates"]:
        print(
            f"  {record['sub_clips_with_too_few_candidates']:,} sub-clips have fewer than {negatives} candidates "
            f"(the fewest: {record['fewest_candidates']}); they get what there is, a larger tau gives more"
        )


def repairs(captions: Annotations) -> list[str]:
    """What had to be done to a file of annotations, in words."""
    told = (
        (captions.swapped, "segments start after they end: both times were exchanged"),
        (captions.clipped, "segments reach outside their video and were cut to it"),
        (captions.widened, "segments have no length and were widened"),
        (captions.dropped_outside, "segments lie outside their video and were left out"),
        (captions.dropped_empty, "segments have no sentence and were left out"),
    )
    return [f"{count:,} {words}" for count, words in told if count]
