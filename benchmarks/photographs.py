"""What the run `photographs` names right on real clips, beside the paper's O(v) and the method's own triplet loss.

    python benchmarks/photographs.py FOLDER [--train]

FOLDER holds clips and labels.csv with the columns path, label, label_set (ucf101, kinetics400 or free) and also
(another name that counts as right, after the name of its set). Three questions: which of UCF-101's 101 classes, of
Kinetics-400's, of the folder's own labels? Every figure is top-1 / top-5 in percent with a 95 % bootstrap interval over
clips. In the last rows kernel, ridge and α are chosen on a random half of the clips, told on the other half, 200 times.
Then labels by example: of each label with two clips or more, one clip is the example and the others are to be found.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cezsar import encoders
from cezsar.arrays import unit_rows
from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.data.datasets import named_descriptions
from cezsar.data.extraction import extract, provenance
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.labels import canonical, spoken
from cezsar.data.manifest import Clip
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.encoders.objects import LinearHead, recognise
from cezsar.training.loop import train
from cezsar.training.rows import OBJECTS, run_of_rows
from cezsar.training.runs import Run
from cezsar.training.triplets import build
from cezsar.zeroshot.examples import blended, example_rows, share_of
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import SentenceSpace, Space, object_rows, prototypes_of, space_of

Ranks = npt.NDArray[np.int64]
SETTINGS = [(sharpness, ridge, alpha) for sharpness in (5, 8) for ridge in (1, 3) for alpha in (0.3, 0.5)]
HALVES = 200


class Question:
    """Classes with their descriptions, and the right one of each clip that has one among them."""

    def __init__(self, title: str, descriptions: Mapping[str, Sequence[str]], truth: Mapping[int, str]) -> None:
        self.title, self.descriptions = title, descriptions
        index = {canonical(name): number for number, name in enumerate(descriptions)}
        self.rows = np.array(sorted(truth))
        self.truth = np.array([index[canonical(truth[row])] for row in self.rows])

    def ranks(self, scores_NC: npt.NDArray[np.float32]) -> Ranks:
        """The rank of the right class of each clip, ties counted against it."""
        right = scores_NC[self.rows, self.truth]
        return (scores_NC[self.rows] >= right[:, None]).sum(1)


def questions(rows: Sequence[Mapping[str, str]]) -> list[Question]:
    sets = {name: named_descriptions(name) for name in ("ucf101", "kinetics400")}
    asked = []
    for name, descriptions in sets.items():
        truth = {}
        for number, row in enumerate(rows):
            other_set, _, other = row["also"].partition(" ")
            if row["label_set"] == name or other_set == name:
                truth[number] = row["label"] if row["label_set"] == name else other
        asked.append(Question(name, descriptions, truth))
    own = {}
    for row in rows:
        known = {canonical(label): texts for label, texts in sets.get(row["label_set"], {}).items()}
        own[row["label"]] = known.get(canonical(row["label"]), [spoken(row["label"])])
    return [*asked, Question("own labels", own, {number: row["label"] for number, row in enumerate(rows)})]


def told(ranks: Ranks, rng: np.random.Generator) -> str:
    """top-1 / top-5 in percent, each with its interval."""
    words = []
    for k in (1, 5):
        hits = ranks <= k
        low, high = np.percentile(rng.choice(hits, (2000, len(hits))).mean(1), (2.5, 97.5))
        words.append(f"{hits.mean():3.0%} [{low:3.0%}, {high:4.0%}]")
    return " / ".join(words)


def show(title: str, ranks: Sequence[Ranks]) -> None:
    rng = np.random.default_rng(0)
    print(f"{title:34}" + "   ".join(told(each, rng) for each in ranks), flush=True)


def embedded(
    space: Space,
    asked: Question,
    features: Sequence[npt.NDArray[np.float32]],
    objects_NE: npt.NDArray[np.float32],
    visual_NE: npt.NDArray[np.float32] | None,
) -> Embeddings:
    names, prototypes, owner = prototypes_of(space, asked.descriptions)
    modalities = {"O": objects_NE} if visual_NE is None else {"VE": visual_NE, "O": objects_NE}
    ids = [str(number) for number in range(len(features))]
    return Embeddings(ids, [""] * len(ids), names, modalities, prototypes, owner, space.name)


def by_example(clips: Embeddings, asked: Question, weights: Weights) -> None:
    """Each clip of a label with others is its one example in turn: whether these others are found, at the first place
    and among five, and what that does to the clips of all other labels."""
    truth_N, rows_NE = asked.truth, example_rows(clips.modalities, weights)
    examples = [row for row in range(len(truth_N)) if (truth_N == truth_N[row]).sum() > 1]
    print(f"\n{'labels by example':34}{'its other clips':36}clips of other labels")
    for title, share in (("sentences alone", 0.0), ("both, λ = 1/2", share_of(1)), ("the example alone", 1.0)):
        twins, others = list[int](), list[int]()
        for row in examples:
            own_P = clips.prototype_class == truth_N[row]
            shown = blended(clips.prototypes[own_P], rows_NE[[row]], share)
            owner = np.concatenate([clips.prototype_class[~own_P], np.full(len(shown), truth_N[row])])
            changed = replace(clips, prototypes=np.vstack([clips.prototypes[~own_P], shown]), prototype_class=owner)
            ranks_N = asked.ranks(fuse(Scores.from_embeddings(changed), weights))
            same_N = truth_N == truth_N[row]
            twins += ranks_N[same_N & (np.arange(len(truth_N)) != row)].tolist()
            others += ranks_N[~same_N].tolist()
        show(title, [np.array(twins), np.array(others)])


def trained(folder: Path, encoder: encoders.FrameEncoder, sentences: Encoder) -> Run:
    """The method itself on the same pairs: a row with noise is a clip, a definition its caption, τ mines negatives."""
    head = encoder.object_head
    assert isinstance(head, LinearHead)
    rng = np.random.default_rng(0)
    rows_KD = (head.weight - head.weight.mean(0)) / head.weight.std(0)
    segments = []
    with StoreWriter(folder / "store", provenance(encoder)) as writer:
        for index, (name, definition) in enumerate(zip(head.names, head.definitions, strict=True)):
            noisy = rows_KD[index] + 0.5 * rng.standard_normal((10, encoder.dim))
            kept = noisy * (rng.random((10, 1)) + 0.5) * (rng.random(noisy.shape) > 0.2)
            writer.add(f"{index:05}", kept.astype(np.float32), "", "", None)
            segments += [Segment(f"{index:05}", 0.0, 10.0, text) for text in (name, f"{name} {definition}")]
    store = FeatureStore(folder / "store")
    triplets = build(Annotations(segments), store, sentences, rng, MiningConfig(object_positives=0))
    model = {"d_model": 256, "ffn": 512, "d_emb": 256}
    return train(triplets, store, folder / "trained", model=model, training={"lr": 1e-3})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true", help="the triplet loss on the same pairs, too: minutes")
    given = parser.parse_args()
    with (given.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    encoder, sentences = encoders.create("efficientnet", precision="fp32"), open_encoder("minilm")
    head = encoder.object_head
    assert head is not None
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        clips = [Clip(given.folder / row["path"], row["path"]) for row in rows]
        extract(clips, encoder, work / "clips", objects_k=0, workers=2)
        store = FeatureStore(work / "clips")
        features = [store.features(row["path"]) for row in rows]
        asked = questions(rows)
        print(" " * 34 + "".join(f"{each.title + f' ({len(each.rows)} clips)':36}" for each in asked))

        plain = SentenceSpace(sentences)
        said = object_rows(plain, [recognise(head, clip_TD, 3) for clip_TD in features])
        only_o, only_ve = Weights.only("O"), Weights.only("VE")
        show(
            "the paper's O(v), three objects",
            [q.ranks(fuse(Scores.from_embeddings(embedded(plain, q, features, said, None)), only_o)) for q in asked],
        )

        def asked_of(run: Run) -> list[Scores]:
            space = space_of(run, sentences)
            names = object_rows(space, recognised, "names")
            visual = space.clips(features)
            return [Scores.from_embeddings(embedded(space, q, features, names, visual)) for q in asked]

        recognised = [recognise(head, clip_TD, OBJECTS, "names") for clip_TD in features]
        run = run_of_rows(work / "photographs", encoder, sentences)
        chosen = asked_of(run)
        for title, weights in (
            ("photographs: O", only_o),
            ("photographs: VE", only_ve),
            ("photographs: VE + O", Weights(**run.config.fusion)),
        ):
            show(title, [q.ranks(fuse(scores, weights)) for q, scores in zip(asked, chosen, strict=True)])

        made = {
            (sharpness, ridge): asked_of(
                run_of_rows(work / f"{sharpness}-{ridge}", encoder, sentences, ridge=ridge, sharpness=sharpness)
            )
            for sharpness, ridge in {setting[:2] for setting in SETTINGS}
        }
        settings = [
            [
                q.ranks(fuse(scores, Weights(alpha, 1 - alpha)))
                for q, scores in zip(asked, made[sharpness, ridge], strict=True)
            ]
            for sharpness, ridge, alpha in SETTINGS
        ]
        by_halves(settings, asked, len(rows))
        space, (own,) = space_of(run, sentences), asked[2:]
        names, visual = object_rows(space, recognised, "names"), space.clips(features)
        by_example(embedded(space, own, features, names, visual), own, Weights(**run.config.fusion))
        if given.train:
            method = trained(work, encoder, sentences)
            joint = space_of(method, sentences)
            mean_D, std_D = np.concatenate(features).mean(0), np.concatenate(features).std(0)
            seen = joint.clips([(clip_TD - mean_D) / std_D for clip_TD in features])
            assert seen is not None
            seen = unit_rows(seen)
            names = object_rows(joint, [recognise(head, clip_TD, OBJECTS, "names") for clip_TD in features], "names")
            both = [Scores.from_embeddings(embedded(joint, q, features, names, seen)) for q in asked]
            for title, weights in (
                ("triplet loss: O", only_o),
                ("triplet loss: VE", only_ve),
                ("triplet loss: VE + O", Weights(0.3, 0.7)),
            ):
                show(title, [q.ranks(fuse(scores, weights)) for q, scores in zip(asked, both, strict=True)])


def by_halves(settings: Sequence[Sequence[Ranks]], asked: Sequence[Question], clips: int) -> None:
    """Settings chosen on a half by the mean of top-1 and top-5 over the questions, told on the other half."""
    rng = np.random.default_rng(0)
    found: list[list[tuple[float, float]]] = [[] for _ in asked]
    counts = np.zeros(len(settings), int)
    for _ in range(HALVES):
        half = np.zeros(clips, bool)
        half[rng.permutation(clips)[: clips // 2]] = True
        merit = [
            np.mean([_share(ranks[half[q.rows]]) for ranks, q in zip(each, asked, strict=True)]) for each in settings
        ]
        best = int(np.argmax(merit))
        counts[best] += 1
        for number, (ranks, q) in enumerate(zip(settings[best], asked, strict=True)):
            found[number].append(_share(ranks[~half[q.rows]]))
    words = [" / ".join(f"{figure:3.0%}" + " " * 13 for figure in np.mean(each, axis=0)) for each in found]
    print(f"{'VE + O, chosen and told by halves':34}" + "   ".join(words))
    names = [f"kernel {sharpness}, ridge {ridge}, α {alpha}" for sharpness, ridge, alpha in SETTINGS]
    print("chosen: " + "; ".join(f"{names[i]}: {counts[i]}" for i in np.argsort(-counts)[:5]))


def _share(ranks: Ranks) -> tuple[float, float]:
    return float((ranks <= 1).mean()), float((ranks <= 5).mean())


if __name__ == "__main__":
    main()
