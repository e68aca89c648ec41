"""CEZSAR, semantic transfer after Lin et al. (CVPR 2022), and the two blended, on the stick-figure world.

    cezsar demo
    python benchmarks/transfer.py            # one seed: one or two minutes on two cores
    python benchmarks/transfer.py --seeds 0 1 2 --share 0.2

Needs a workspace in which `cezsar demo` has run. Prints, for each seed, K, T, λ and the weight of the blend as they
were chosen on held-out seen actions, with the accuracy reached there beside that of text alone (λ = 0); then the table
on the unseen actions. Nothing is written into the workspace.
"""

from __future__ import annotations

import argparse
import tempfile

import torch

from cezsar.demo.transfer import Chosen, TransferReport, run_transfer


def show_choice(chosen: Chosen) -> None:
    for name, choice in chosen.settings.items():
        k, temperature, lam = choice.best.setting
        text = [tried.mean for tried in choice.table if tried.setting.lam == 0]
        alone = f", text alone {text[0]:.1%}" if text else ""
        print(
            f"  {name}: K = {k}, T = {temperature}, λ = {lam}: {choice.best.mean:.1%} on held-out seen actions{alone}"
        )
    assert chosen.weight is not None  # the heads of the demo are always trained
    ends = {tried.setting: tried.mean for tried in chosen.weight.table}
    print(
        f"  blend: {chosen.weight.best.setting} CEZSAR: {chosen.weight.best.mean:.1%}, CEZSAR alone {ends[1.0]:.1%}, "
        f"transfer alone {ends[0.0]:.1%}"
    )


def show(report: TransferReport) -> None:
    show_choice(report.chosen)
    print(f"  dropped for overlap: {', '.join(overlap.seen for overlap in report.dropped) or 'none'}")
    print(f"  {'unseen actions':28} {'all':>6} {'random halves':>16}")
    whole, halves = ([r for r in report.results if (len(r.runs) == 1) == single] for single in (True, False))
    for one, many in zip(whole, halves, strict=True):
        print(f"  {one.method:28} {one.figure().percent():>6} {many.figure().percent():>16}")
    print("  " + ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in report.seconds.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", help="the workspace; $CEZSAR_HOME or ./workspace by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.5, help="of the seen actions held out in a trial")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            report = run_transfer(
                given.home, seed=seed, trials=given.trials, share=given.share, folder=folder, device="cpu"
            )
        print(f"seed {seed}")
        show(report)


if __name__ == "__main__":
    main()
