"""`cezsar transfer`: what labelled clips of seen classes are worth, beside CEZSAR."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cezsar.cli.console import Progress, save
from cezsar.cli.evaluate import ComparisonOut, Splits

EXAMPLES = """[bold]Examples[/bold]

cezsar transfer runs/cezsar --seen-dataset kinetics400 --seen-store features/kinetics400-bit --dataset ucf101
--store features/ucf101-bit --protocol ucf101-0/50

cezsar transfer runs/mine --seen-dataset seen/ --seen-store features/seen --dataset test/ --store features/test --head
"""


def command(
    run: Annotated[Path, typer.Argument(help="A trained run; its VE is one of the spaces.")],
    seen_dataset: Annotated[str, typer.Option(help="Labelled clips of seen classes: as --dataset.")],
    seen_store: Annotated[Path, typer.Option(help="Feature store of these clips, of the run's encoder.")],
    dataset: Annotated[str, typer.Option(help="Clips of unseen classes to name, as in `cezsar evaluate`.")],
    store: Annotated[Path, typer.Option(help="Feature store of these.")],
    protocol: Annotated[str, typer.Option(help="As in `cezsar evaluate`.")] = "all",
    head: Annotated[
        bool, typer.Option(help="Train cross-modal heads on the seen clips, too: minutes or more.")
    ] = False,
    trials: Annotated[int, typer.Option(min=1, help="Halves of the seen classes that settings are chosen on.")] = 3,
    prototypes: Annotated[str | None, typer.Option(help="Descriptions of the unseen classes.")] = None,
    seen_prototypes: Annotated[str | None, typer.Option(help="Descriptions of the seen classes.")] = None,
    runs: Splits = 50,
    seed: Annotated[int, typer.Option(help="Of halves, heads, splits and the bootstrap.")] = 0,
    out: ComparisonOut = None,
) -> None:
    """Name unseen classes by visual prototypes made of related seen ones; after Lin et al. (CVPR 2022).

    Semantic transfer, and no reproduction of that paper. K, T and λ are chosen on held-out seen classes.
    """
    import numpy as np

    from cezsar.analysis.comparison import method_table
    from cezsar.atomic import write_json
    from cezsar.data.datasets import named_descriptions, open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.cross_modal import Clips, clips_of
    from cezsar.training.runs import Run
    from cezsar.zeroshot.embed import Embedded
    from cezsar.zeroshot.fusion import Weights
    from cezsar.zeroshot.methods import Method, Prepared
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.transfer import transferred

    opened = Run.open(run)

    def clips(name: str, folder: Path, described: str | None) -> Clips:
        data, features = open_dataset(name), FeatureStore(folder)
        opened.check_feature_encoder(features.provenance["encoder"], features.provenance["fingerprint"])
        return clips_of(data, features, named_descriptions(described) if described else data.descriptions)

    seen, unseen = clips(seen_dataset, seen_store, seen_prototypes), clips(dataset, store, prototypes)
    sentences = open_encoder(opened.config.sentence_encoder["name"])
    with Progress("semantic transfer") as progress:
        found = transferred(
            opened, sentences, seen, unseen, seed=seed, with_head=head, trials=trials, on_progress=progress
        )
    if found.dropped:
        print("seen classes that an unseen one equals, left out: " + ", ".join(pair.seen for pair in found.dropped))
    for name, choice in found.settings.items():
        how, top1 = choice.best.setting, choice.best.mean
        print(
            f"{name}: K = {how.k}, T = {how.temperature:g}, λ = {how.lam:g}, chosen at {top1:.1%} on "
            "held-out seen classes"
        )
    visual, ready = Weights.only("VE"), []
    for name, scores in found.scores.items():
        method = Method(name, name, "labelled clips of seen classes", visual)
        title = f"CEZSAR ({opened.name})" if name == "CEZSAR" else name
        ready.append(Prepared(method, title, Embedded(found.unseen, [], []), scores, visual))
    splits = parse(protocol, ready[0].scores.class_names, runs=runs, seed=seed)
    table = method_table(ready, splits, dataset, np.random.default_rng(seed))
    print(table.text())
    if out:

        def write(path: Path) -> list[Path]:
            chosen = path.with_name(f"{path.stem}-chosen.json")
            write_json(chosen, found.to_dict())
            return [*table.save(path), chosen]

        print("wrote " + ", ".join(map(str, *save((out, write)))))
