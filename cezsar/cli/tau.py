"""`cezsar tau`: what the bound on hard negatives lets in, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import output, save
from cezsar.config import numbers

EXAMPLES = """[bold]Examples[/bold]

cezsar tau workspace/demo/train.json

cezsar tau activitynet-captions:val_1 --sentences distilroberta --taus 0.6,0.7,0.8,0.9 --json tau.json
"""
NAMED = 5  # pairs of near-duplicates that are shown
SHARES = (0.05, 0.5, 0.95)


def command(
    annotations: Annotated[
        str, typer.Argument(help="Timestamped captions in ActivityNet Captions form, or activitynet-captions.")
    ],
    sentences: Annotated[str, typer.Option(help="Sentence encoder.")] = "minilm",
    taus: Annotated[str, typer.Option(help="Bounds on the cosine distance, in (0, 2], separated by commas.")] = (
        "0.5,0.6,0.7,0.8,0.9,1.0"
    ),
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives that each sentence should have.")] = 10,
    anchors: Annotated[int, typer.Option(min=1, help="Sentences that are compared with all, at most.")] = 3000,
    near: Annotated[float, typer.Option(help="Cosine distance up to which two sentences say nearly the same.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the sentences and pairs that are drawn.")] = 0,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Where to write everything as JSON.", callback=output())
    ] = None,
) -> None:
    """Pairs of sentences below each τ, candidates for hard negatives, sentences with too few, and near-duplicates."""
    import numpy as np

    from cezsar.analysis import tau as laboratory
    from cezsar.atomic import write_json
    from cezsar.data.annotations import load_annotations
    from cezsar.data.datasets import captions_of, is_name
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.zeroshot.tables import aligned

    bounds = sorted(set(numbers("--taus", taus, float)))
    file = captions_of(annotations) if is_name(annotations) else Path(annotations)
    captions = load_annotations(file)
    segments = captions.segments
    videos = {video: index for index, video in enumerate(dict.fromkeys(segment.video_id for segment in segments))}
    groups = np.array([videos[segment.video_id] for segment in segments])
    texts = [segment.sentence for segment in segments]
    vectors = open_encoder(sentences).encode(texts)
    rng = np.random.default_rng(seed)
    spread = laboratory.distances(vectors, groups, rng)
    found = laboratory.candidates(vectors, groups, bounds, anchors, rng)
    alike = laboratory.near_duplicates(vectors, groups, near)
    sampled = "" if spread.exact else f", {spread.n_pairs:,} pairs drawn: shares ± {spread.error:.2%} (95 %)"
    print(f"{len(texts):,} sentences of {len(videos):,} videos, {sentences}{sampled}")
    for line in captions.repairs:
        print(f"  {line}")
    rows = []
    shown = [["τ", "pairs below", *(f"{share:.0%} have up to" for share in SHARES), f"fewer than {negatives}"]]
    for bound, quantiles, few in zip(bounds, found.quantiles(SHARES), found.too_few(negatives).tolist(), strict=True):
        below, short = spread.below(bound), few / len(found.anchors)
        rows.append({"tau": bound, "pairs_below": below, "too_few": short, "candidates": quantiles.tolist()})
        shown.append([f"{bound:g}", f"{below:.2%}", *(f"{quantile:,.0f}" for quantile in quantiles), f"{short:.2%}"])
    print("\n".join(aligned(shown)))
    print(f"different sentences nearer than {near:g}, false negatives at any τ above: {_counted(alike)}")
    for one, other, apart in alike[:NAMED]:
        print(f"  {apart:.3f}  {texts[one]} | {texts[other]}")
    if json_out:
        pairs = [{"distance": apart, "sentences": [texts[one], texts[other]]} for one, other, apart in alike]
        about = {"sentences": len(texts), "videos": len(videos), "encoder": sentences, "negatives": negatives}
        known = {"exact": spread.exact, "error": spread.error, "same": spread.same, "shares": SHARES}
        found_all = about | known | {"taus": rows, "near_duplicates": pairs}
        save((json_out, lambda path: write_json(path, found_all)))
        print(f"wrote {json_out}")


def _counted(pairs: list[tuple[int, int, float]]) -> str:
    return f"{len(pairs):,} pairs{' or more' if len(pairs) >= 200 else ''}"
