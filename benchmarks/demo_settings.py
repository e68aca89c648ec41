"""How the demo's settings are chosen: on held-out SEEN actions, never on the unseen ones.

    python benchmarks/demo_settings.py /tmp/choosing --seeds 11 12

For each world seed, 16 seen actions are left out of training and used as the test. Prints top-1 of VE and O, and of
VE + O for every α on a grid, for each recipe: the demo's, variants of it, and the paper's own settings. And how many
examples the sentences of a class should count as where it has examples, too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cezsar import workspace, world
from cezsar.data.sentence_cache import open_encoder
from cezsar.demo import PAPER, Recipe, Stages, keep_scores, make_data, mine_world, train_run
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scored import folder_for
from cezsar.zeroshot.shots import COUNTS, WORTHS, shots

ALPHAS = np.round(np.arange(0, 1.01, 0.05), 2)
DEMO = Recipe()
RECIPES = {
    "demo": DEMO,
    "tau 0.7": replace(DEMO, mining=replace(DEMO.mining, tau=0.7)),
    "tau 1.0": replace(DEMO, mining=replace(DEMO.mining, tau=1.0)),
    "10 negatives": replace(DEMO, mining=replace(DEMO.mining, negatives=10)),
    "lr 1e-4": replace(DEMO, training=dict(DEMO.training) | {"lr": 1e-4}),
    "25 epochs": replace(DEMO, training=dict(DEMO.training) | {"epochs": 25}),
    "not standardised": replace(DEMO, training=dict(DEMO.training) | {"standardise": False}),
    "object positives": replace(DEMO, mining=replace(DEMO.mining, object_positives=2)),
    "paper": PAPER,
    "paper, lr 1e-3": replace(PAPER, training=dict(PAPER.training) | {"lr": 1e-3}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    curves: dict[str, list[np.ndarray]] = {}
    blends: dict[str, list[np.ndarray]] = {}  # (worths, counts)
    for seed in arguments.seeds:
        name = f"held-out-{seed}"
        data = make_data(arguments.folder, seed, DEMO, Stages(), name, world.HELD_OUT)
        for label in arguments.recipes:
            recipe = RECIPES[label]
            sentences = open_encoder("minilm", home=arguments.folder)
            triplets = mine_world(data, sentences, recipe, seed)
            folder = workspace.folder("runs", arguments.folder) / f"{name} {label}"
            run = train_run(folder, triplets, data.train, recipe, seed, lambda *_: None)
            kept = keep_scores(folder_for(run, "demo"), run, sentences, data.test, data.world)
            scores = kept.scores()
            plan = all_classes(scores.class_names)
            top1 = [evaluate(scores, plan, Weights(a, round(1 - a, 2))).figure("top1").mean for a in ALPHAS]
            shares = np.bincount(predict(scores, Weights(1, 0)) + 1, minlength=len(scores.class_names) + 1)
            curves.setdefault(label, []).append(np.array(top1))
            weights, clips = Weights(**recipe.use.fusion), kept.embeddings()
            found = [shots(clips, weights, counts=COUNTS[1:], worth=worth).top1["blend"].mean(0) for worth in WORTHS]
            blends.setdefault(label, []).append(np.array(found))
            best = ALPHAS[int(np.argmax(top1))]
            print(
                f"seed {seed} {label:18} VE {top1[-1]:.3f}  O {top1[0]:.3f}  VE + O {max(top1):.3f} at {best:.2f}  "
                f"largest share {shares.max() / shares.sum():.2f}  dead {run.history()[-1]['dead_units']:.2f}  "
                f"{run.record()['seconds']:.0f} s",
                flush=True,
            )
    print("\nmean over seeds")
    for label, values in curves.items():
        mean = np.mean(values, axis=0)
        line = "  ".join(f"{a:.2f}: {v:.3f}" for a, v in zip(ALPHAS[10:], mean[10:], strict=True))
        print(f"{label:18} VE {mean[-1]:.3f}  O {mean[0]:.3f}  best {ALPHAS[int(mean.argmax())]:.2f}   α {line}")
    print(
        f"\ntop-1 of blends, by what sentences count as, at {', '.join(map(str, COUNTS[1:]))} examples and in the mean"
    )
    for label, values in blends.items():
        for worth, row in zip(WORTHS, np.mean(values, axis=0), strict=True):
            print(f"{label:18} {worth:5g}  {'  '.join(f'{v:.3f}' for v in row)}  {row.mean():.4f}")


if __name__ == "__main__":
    main()
