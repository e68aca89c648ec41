"""One triplet at a time against VE once per sub-clip: do both reach the same validation loss, and at what cost?

    cezsar demo
    python benchmarks/orders.py workspace

Trains the demo's model in both orders, on the same triplets, with the same number of clips a step and the same number
of steps in all, for several seeds. An epoch of single triplets has as many steps as there are negatives, times those of
an epoch of sub-clips. Prints the best validation losses, and the time a pass over all triplets takes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from cezsar import workspace
from cezsar.config import MiningConfig
from cezsar.data.annotations import load_annotations
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.demo import Recipe
from cezsar.training.loop import train
from cezsar.training.triplets import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?", default=workspace.home())
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5, help="over single triplets; ten times as many over sub-clips")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    recipe = Recipe()
    store = FeatureStore(arguments.workspace / "features/demo-train")
    annotations = load_annotations(arguments.workspace / "demo/train.json")
    sentences = open_encoder("minilm", home=arguments.workspace)
    settings = MiningConfig(sub_clips=recipe.mining.sub_clips)
    triplets = build(annotations, store, sentences, np.random.default_rng(0), settings)
    per_clip = triplets.negatives_MPn.shape[1] * triplets.negatives_MPn.shape[2]
    orders = {"sub-clip": arguments.passes * per_clip, "triplet": arguments.passes}
    losses: dict[str, list[float]] = {order: [] for order in orders}
    seconds: dict[str, list[float]] = {order: [] for order in orders}
    for seed in range(arguments.seeds):
        for order, epochs in orders.items():
            changes = {"order": order, "seed": seed, "epochs": epochs, "patience": epochs}
            training = dict(recipe.training) | changes
            with tempfile.TemporaryDirectory() as folder:
                run = train(triplets, store, Path(folder) / "run", model=recipe.model, training=training)
                record = run.record()
            losses[order].append(record["validation_loss"])
            seconds[order].append(record["seconds"] / record["epochs"])
    for order in orders:
        print(
            f"{order:9} validation loss {np.mean(losses[order]):.4f} ± {np.std(losses[order], ddof=1):.4f} "
            f"({', '.join(f'{loss:.4f}' for loss in losses[order])}), {np.mean(seconds[order]):.2f} s a pass"
        )
    ratio = np.mean(np.array(seconds["triplet"]) / np.array(seconds["sub-clip"]))
    print(f"a pass of one triplet at a time takes {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
