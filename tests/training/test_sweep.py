"""Accuracy against τ, in a made-up world where training takes a moment; figures are those of the parts, one by one."""

import csv
import json
import statistics
from dataclasses import replace

import numpy as np
import pytest

from cezsar.config import MiningConfig, UseConfig
from cezsar.data.annotations import Annotations
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.encoders.objects import LinearHead
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.sweep import FILE, Material, Point, Sweep, about, shares_short, sweep
from cezsar.training.loop import DivergedError, train
from cezsar.training.runs import Run
from cezsar.training.triplets import build
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.protocols import random_classes

WORDS = ("kick", "throw", "wave", "jump", "push", "lift")
SETTINGS = {
    "mining": MiningConfig(negatives=4, sub_clips=1, object_positives=0), "use": UseConfig(1),
    "model": {"d_model": 16, "d_emb": 8, "ffn": 16}, "training": {"epochs": 2, "lr": 1e-3, "standardise": True},
    "protocol": "half", "splits": 3, "splits_seed": 4,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def made_up_encoder(sentence_encoder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cezsar.zeroshot.spaces.open_encoder", lambda name: sentence_encoder)
        yield


@pytest.fixture(scope="module")
def material(made_up, sentence_encoder, tmp_path_factory):
    annotations, store = made_up
    rng, folder = np.random.default_rng(2), tmp_path_factory.mktemp("tested")
    tested = {f"t{number:02}": WORDS[number % 6] for number in range(24)}
    with StoreWriter(folder, store.provenance) as writer:
        for name, word in tested.items():
            features = 0.3 * rng.normal(size=(10, 12)).astype(np.float32)
            features[:, WORDS.index(word)] += 2
            writer.add(name, features)
    texts = [f"an object that people hold when they want to {word}" for word in WORDS]
    described = {word: [f"somebody does {word}"] for word in WORDS}
    sources = Sources(Dataset("made up", tested, described), described, [FeatureStore(folder)])
    head = LinearHead(list(WORDS), texts, np.eye(6, 12, dtype=np.float32))
    return Material(annotations, store, sentence_encoder, sources, head=head, **SETTINGS)


@pytest.fixture(scope="module")
def swept(material, tmp_path_factory):
    """A sweep over three τ, the smallest too small, and two seeds: (its folder, what came back)."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sweep(material, [0.5, 0.02, 0.9], [0, 1], folder)


def test_a_point_is_what_mining_training_and_evaluation_give_one_by_one(material, swept, tmp_path):
    rng = np.random.default_rng(1)
    triplets = build(material.annotations, material.store, material.sentences, rng, MiningConfig(0.5, 4, 1, 0))
    run = train(
        triplets, material.store, tmp_path / "run", model=material.model, training=material.training | {"seed": 1},
        use=UseConfig(1), head=material.head,
    )  # fmt: skip
    scores = prepare("cezsar", material.sources, run).scores
    halves = random_classes(scores.class_names, 3, 3, 4)
    [point] = [point for point in swept[1].points if (point.tau, point.seed) == (0.5, 1)]
    assert point.triplets == len(triplets)
    for name, weights in (("VE", Weights(1, 0)), ("O", Weights(0, 1)), ("VE + O", Weights(0.8, 0.2))):
        assert point.top1[name] == [split.top1 for split in evaluate(scores, halves, weights).runs]


def test_points_differ_in_tau_and_seed_alone_and_one_with_too_few_says_so(swept):
    folder, found = swept
    configs = []
    for tau, seed in ((0.5, 0), (0.5, 1), (0.9, 0), (0.9, 1)):
        run = Run.open(folder / f"tau-{tau:g}-seed-{seed}")
        record = run.record()["triplets"]
        assert (record["tau"], record["seed"], run.config.training.seed) == (tau, seed, seed)
        configs.append(replace(run.config, triplets="", training=replace(run.config.training, seed=0)))
    assert all(config == configs[0] for config in configs)
    (tau, *_, few), *others = found.table().to_numpy().tolist()
    assert tau == "0.02" and found.accuracies()[0.02] == {} and list(found.accuracies()) == [0.02, 0.5, 0.9]
    assert "too few: 100.0 % of the sentences have fewer than 4 candidates, 50 % are allowed" in few
    assert not any(row[-1] for row in others)
    assert not (folder / "tau-0.02-seed-0").exists()
    assert "seed 0: too few" in found.text() and "| seed 0: too few" in (folder / "tau-sweep.md").read_text()


def test_short_sentences_are_counted_as_in_plain_loops(material):
    vectors = material.sentences.encode([segment.sentence for segment in material.annotations.segments]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    videos = [segment.video_id for segment in material.annotations.segments]
    for tau, share in zip((0.05, 0.1, 0.9), shares_short(material, [0.05, 0.1, 0.9]), strict=True):
        few = 0
        for row, vector in enumerate(vectors):
            apart = [1 - vector @ other for other, video in zip(vectors, videos, strict=True) if video != videos[row]]
            few += sum(1e-6 < distance < tau for distance in apart) < 4
        assert share == few / len(vectors)


def test_no_hard_negative_at_all_and_a_diverged_loss_are_rows_too(material, tmp_path, monkeypatch):
    none = sweep(replace(material, most_short=1.0), [1e-4], [0], tmp_path / "none")
    assert "no sub-clip has a hard negative under tau = 0.0001" in none.points[0].failed

    def diverges(*_, **__):
        raise DivergedError("the loss is nan at epoch 1, step 1")

    monkeypatch.setattr("cezsar.training.loop.train", diverges)
    lost = sweep(material, [0.9], [0], tmp_path / "lost")
    assert lost.points[0].failed.startswith("the loss is nan") and lost.points[0].triplets > 0


def test_it_goes_on_where_it_was_and_takes_further_points(material, swept, monkeypatch):
    folder, found = swept
    trained, stages = [], []

    def watched(*args, **more):
        trained.append(args[2].name)
        return train(*args, **more)

    monkeypatch.setattr("cezsar.training.loop.train", watched)
    assert sweep(material, [0.5], [0], folder) == found and not trained
    # The last point is lost, as when the sweep was killed while training it: its run is there, and stays as it is.
    replace(found, points=found.points[:-1]).save(folder)
    weights = (folder / "tau-0.9-seed-1" / "model.safetensors").stat().st_mtime_ns
    again = sweep(material, [0.02, 0.5, 0.9], [0, 1], folder, on_progress=lambda *told: stages.append(told))
    assert trained == ["tau-0.9-seed-1"]
    assert (folder / "tau-0.9-seed-1" / "model.safetensors").stat().st_mtime_ns == weights
    assert [point.top1 for point in again.points] == [point.top1 for point in found.points]
    assert stages[0][0] == "τ = 0.9, seed 1 (1 of 1), mining"
    more = sweep(material, [0.9], [2], folder)
    assert [(point.tau, point.seed) for point in more.points][-1] == (0.9, 2)
    assert trained[1:] == ["tau-0.9-seed-2"] and len(more.points) == len(found.points) + 1
    found.save(folder)


def test_another_sweep_is_refused_by_name(material, swept):
    with pytest.raises(MismatchError, match="differs in splits"):
        sweep(replace(material, splits=5), [0.7], [0], swept[0])
    whole = about(material)
    fewer = Annotations(material.annotations.segments[1:], material.annotations.durations)
    for change, name in (({"annotations": fewer}, "segments"), ({"head": None}, "recogniser"),
                         ({"training": {"epochs": 3}}, "training")):  # fmt: skip
        other = about(replace(material, **change))
        assert {key for key in whole if whole[key] != other[key]} == {name}


def test_what_cannot_be_swept_is_refused_before_anything_is_written(material, tmp_path):
    everything = {"protocol": "everything"}
    for taus, seeds, change in (([], [0], {}), ([0.0], [0], {}), ([0.8], [1, 1], {}), ([0.8], [0], everything)):
        with pytest.raises(InputError):
            sweep(replace(material, **change), taus, seeds, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def by_hand():
    """Two τ and two seeds, with three splits; one point failed."""
    points = [
        Point(0.7, 0, 0.2, failed="the loss is nan"),
        Point(0.7, 1, 0.2, 90, 10.0, {"VE": [0.2, 0.2, 0.2], "O": [0.3, 0.3, 0.3]}),
        Point(0.8, 0, 0.03, 100, 20.0, {"VE": [0.3, 0.3, 0.6], "O": [0.3, 0.3, 0.3]}),
        Point(0.8, 1, 0.01, 120, 30.0, {"VE": [0.4, 0.5, 0.6], "O": [0.3, 0.3, 0.3]}),
    ]
    return Sweep({"dataset": "ucf101", "protocol": "half", "negatives": 10}, points)


def test_means_and_deviations_are_those_computed_by_hand():
    low, high = by_hand().accuracies().values()
    # seeds: means 0.4 and 0.5; splits: variances 0.03 and 0.01, so the root of 0.02
    assert high["VE"] == pytest.approx((0.45, 0.02**0.5, statistics.stdev([0.4, 0.5])))
    assert low["VE"] == (pytest.approx(0.2), 0.0, None)
    assert by_hand().table().to_numpy().tolist() == [
        ["0.7", "20.0 ± 0.0", "20.0 %", "90", "10", "seed 0: the loss is nan"],
        ["0.8", "45.0 ± 14.1 (seeds ± 7.1)", "2.0 %", "110", "25", ""],
    ]


def test_it_is_printed_written_and_comes_back_and_a_damaged_file_is_refused(tmp_path):
    table = by_hand()
    title, head, low, high = table.text().splitlines()
    assert "ucf101, protocol half, 10 negatives a positive, seeds: 2" in title and table.modalities == ["VE"]
    assert head.split()[0] == "VE"
    assert low.startswith("0.7") and high.startswith("0.8") and low.endswith("seed 0: the loss is nan")
    assert [path.name for path in table.save(tmp_path)] == [FILE, "tau-sweep.csv", "tau-sweep.md"]
    assert Sweep.load(tmp_path) == table
    rows = list(csv.DictReader((tmp_path / "tau-sweep.csv").read_text().splitlines()))
    assert [(row["tau"], row["seed"]) for row in rows] == [("0.7", "0"), ("0.7", "1"), ("0.8", "0"), ("0.8", "1")]
    assert rows[0]["top1 VE"] == "" and rows[0]["failed"] == "the loss is nan"
    assert float(rows[3]["top1 VE"]) == pytest.approx(0.5) and float(rows[3]["top1 O"]) == pytest.approx(0.3)

    value = json.loads((tmp_path / FILE).read_text())
    for damage in ({"points": [{"tau": 0.8}]}, {"points": [value["points"][1] | {"top1": 3}]}):
        (tmp_path / FILE).write_text(json.dumps(value | damage))
        with pytest.raises(FormatError):
            Sweep.load(tmp_path)
