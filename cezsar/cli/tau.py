"""The bound on hard negatives: `cezsar tau` before anything is trained, `cezsar tau-sweep` with a run for each τ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from cezsar.cli.console import Progress, output, save, save_and_tell
from cezsar.cli.options import Device, Domain, Given, Prototypes, Verbs, annotated, with_settings
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, numbers

verbs = Verbs()
NAMED = 5  # pairs of near-duplicates that are shown
SHARES = (0.05, 0.5, 0.95)


@verbs.verb(
    "cezsar tau workspace/demo/train.json",
    "cezsar tau activitynet-captions:val_1 --sentences distilroberta --taus 0.6,0.7,0.8,0.9 --json tau.json",
)
def tau(
    annotations: Annotated[
        str, Argument(help="Timestamped captions in ActivityNet Captions form, or activitynet-captions.")],
    sentences: Annotated[str, Option(help="Sentence encoder.")] = "minilm",
    taus: Annotated[str, Option(
        help="Bounds on the cosine distance, in (0, 2], separated by commas.")] = "0.5,0.6,0.7,0.8,0.9,1.0",
    negatives: Annotated[int, Option(min=1, help="Hard negatives that each sentence should have.")] = 10,
    anchors: Annotated[int, Option(min=1, help="Sentences that are compared with all, at most.")] = 3000,
    near: Annotated[float, Option(help="Cosine distance up to which two sentences say nearly the same.")] = 0.05,
    seed: Annotated[int, Option(help="Of the sentences and pairs that are drawn.")] = 0,
    json_out: Annotated[
        Path | None, Option("--json", help="Where to write everything as JSON.", callback=output())] = None,
) -> None:  # fmt: skip
    """Pairs of sentences below each τ, candidates for hard negatives, sentences with too few, and near-duplicates."""
    import numpy as np

    from cezsar.analysis import tau as laboratory
    from cezsar.atomic import write_json
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.zeroshot.tables import aligned

    bounds = sorted(set(numbers("--taus", taus, float)))
    _, captions = annotated(annotations)
    videos, groups = np.unique([segment.video_id for segment in captions.segments], return_inverse=True)
    texts = [segment.sentence for segment in captions.segments]
    vectors = open_encoder(sentences).encode(texts)
    rng = np.random.default_rng(seed)
    spread = laboratory.distances(vectors, groups, rng)
    _, counts_TA = laboratory.candidates(vectors, groups, bounds, anchors, rng)
    alike = laboratory.near_duplicates(vectors, groups, near)
    sampled = "" if spread.exact else f", {spread.n_pairs:,} pairs drawn: shares ± {spread.error:.2%} (95 %)"
    print(f"{len(texts):,} sentences of {len(videos):,} videos, {sentences}{sampled}")
    for line in captions.repairs:
        print(f"  {line}")
    rows = []
    shown = [["τ", "pairs below", *(f"{share:.0%} have up to" for share in SHARES), f"fewer than {negatives}"]]
    for bound, counts in zip(bounds, counts_TA, strict=True):
        below, short, quantiles = spread.below(bound), float((counts < negatives).mean()), np.quantile(counts, SHARES)
        rows.append({"tau": bound, "pairs_below": below, "too_few": short, "candidates": quantiles.tolist()})
        shown.append([f"{bound:g}", f"{below:.2%}", *(f"{quantile:,.0f}" for quantile in quantiles), f"{short:.2%}"])
    print("\n".join(aligned(shown)))
    count = f"{len(alike):,} pairs{' or more' if len(alike) >= 200 else ''}"
    print(f"different sentences nearer than {near:g}, false negatives at any τ above: {count}")
    for one, other, apart in alike[:NAMED]:
        print(f"  {apart:.3f}  {texts[one]} | {texts[other]}")
    if json_out:
        everything = {
            "sentences": len(texts), "videos": len(videos), "encoder": sentences, "negatives": negatives,
            "exact": spread.exact, "error": spread.error, "same": spread.same, "shares": SHARES, "taus": rows,
            "near_duplicates": [{"distance": d, "sentences": [texts[one], texts[other]]} for one, other, d in alike],
        }  # fmt: skip
        save({json_out: lambda path: write_json(path, everything)})
        print(f"wrote {json_out}")


@verbs.verb(
    "cezsar tau-sweep activitynet-captions --store features/activitynet-bit --sentences distilroberta "
    "--dataset ucf101\n--test-store features/ucf101-bit --protocol ucf101-0/101 --taus 0.6,0.7,0.8,0.9 "
    "--out workspace/scores/tau",
    "cezsar tau-sweep workspace/demo/train.json --store workspace/features/demo-train --dataset demo\n"
    "--test-store workspace/features/demo-test --taus 0.4,0.8 --seeds 0,1 --negatives 20 --sub-clips 1 "
    "--objects 1\n--object-positives 0 --lr 1e-3 --batch 64 --epochs 3 --d-model 256 --ffn 512 --standardise "
    "--out workspace/scores/tau",
)
@with_settings(MiningConfig, ModelConfig, TrainingConfig, UseConfig, without=("tau", "seed"))
def tau_sweep(
    annotations: Annotated[str, Argument(help="Timestamped captions, as in `cezsar mine`.")],
    store: Annotated[Path, Option(help="Feature store of the annotated videos.")],
    dataset: Annotated[str, Option(help="What is tested on, as in `cezsar evaluate`.")],
    test_store: Annotated[Path, Option(help="Feature store of its clips.")],
    out: Annotated[Path, Option(
        help="Folder for runs and tables; the page Tune shows those in the workspace's scores.",
        callback=output(folder=True))],
    taus: Annotated[str, Option(help="Bounds on the cosine distance, in (0, 2].")] = "0.6,0.7,0.8,0.9",
    seeds: Annotated[str, Option(help="Of sub-clips, negatives, weights and order: a run for each.")] = "0",
    protocol: Annotated[str, Option(help="As in `cezsar evaluate`.")] = "all",
    splits: Annotated[int, Option(min=1, help="Random splits of the protocol.")] = 50,
    splits_seed: Annotated[int, Option(help="Of these, the same for every run.")] = 0,
    sentences: Annotated[str, Option(help="Sentence encoder, as in `cezsar mine`.")] = "minilm",
    most_short: Annotated[float, Option(
        min=0, max=1, help="Leave a τ out where more of the sentences lack candidates: a share.")] = 0.5,
    *,
    settings: Given,
    head: Annotated[
        Path | None, Option(help="An object recogniser (.safetensors), to mine with and to keep in each run.")] = None,
    prototypes: Prototypes = None,
    encoder_weights: Annotated[Path | None, Option(help="Weights of the store's encoder.")] = None,
    domain: Domain = "unnamed videos",
    device: Device = None,
) -> None:  # fmt: skip
    """Train one run for each τ and seed on the same videos and splits, and table accuracy against τ (Section 5).

    Options of training that are not given are the paper's. The same command goes on where a sweep was stopped.
    """
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.encoders.objects import LinearHead
    from cezsar.sweep import Material, sweep
    from cezsar.training.triplets import head_of_store
    from cezsar.zeroshot.methods import Sources

    file, captions = annotated(annotations)
    features, mining = FeatureStore(store), MiningConfig(**settings[MiningConfig])
    own = LinearHead.load(head) if head else None
    names = own or (head_of_store(features, encoder_weights) if mining.object_positives else None)
    sources = Sources.opened(dataset, prototypes, stores=[test_store])
    for line in captions.repairs:
        print(f"  {line}")
    material = Material(
        captions, features, open_encoder(sentences), sources, names, own, file, mining, settings[ModelConfig],
        settings[TrainingConfig], UseConfig(**settings[UseConfig]), domain, protocol, splits, splits_seed, most_short,
    )  # fmt: skip
    bounds, starts = numbers("--taus", taus, float), numbers("--seeds", seeds, int)
    with Progress() as progress:
        found = sweep(material, bounds, starts, out, device=device, on_progress=progress.stage)
    print(found.text())
    save_and_tell(out, found.save)
    if not any(row.done for row in found.rows()):
        raise Exit(1)
