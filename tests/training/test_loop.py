"""Training: Eq. 7 in plain loops, splits, both orders, resuming, and what a run keeps."""

import dataclasses
import math
import os
import pickle
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from cezsar.atomic import alone
from cezsar.config import FUSION, TrainingConfig, from_dict
from cezsar.data.features import FeatureStore
from cezsar.encoders.objects import LinearHead
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.training import loop
from cezsar.training.loop import DivergedError, Rows, TripletLoss, batch_of, split_by_video
from cezsar.training.runs import OodDistance, Run, RunConfig

MODEL = {"d_model": 16, "d_emb": 8, "ffn": 16}
QUICK = {"epochs": 3, "batch": 32, "lr": 3e-3}


@pytest.fixture
def train(made_up, triplets, tmp_path):
    def train(name="run", data=triplets, resume=False, on_progress=None, head=None, model=MODEL, **training):
        about = {"model": model, "training": QUICK | training, "domain": "made-up videos", "head": head}
        return loop.train(data, made_up[1], tmp_path / name, **about, resume=resume, on_progress=on_progress)

    return train


@pytest.fixture(scope="module")
def whole(made_up, triplets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return loop.train(triplets, made_up[1], folder, model=MODEL, training=QUICK | {"epochs": 4})


@pytest.fixture(scope="module")
def sub_clips(made_up, triplets):
    rows = zip(triplets.video_M, triplets.rows_M2.tolist(), strict=True)
    return Rows(made_up[1], [(triplets.video_ids[video], *place) for video, place in rows])


def equal(one, other):
    one, other = (run.load_model().state_dict() for run in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class StopError(Exception):
    pass


def stop_at(epoch, kind):
    def on_progress(line):
        if line["kind"] == kind and line["epoch"] == epoch:
            raise StopError

    return on_progress


@pytest.mark.parametrize("margin", [0.2, 1.0, 5.0])
def test_the_loss_is_equation_7_of_every_triplet_once_and_of_no_other(triplets, whole, sub_clips, margin):
    negatives, vectors = triplets.negatives_MPn.copy(), torch.from_numpy(triplets.vectors_NS)
    negatives[2, 0, 1:] = -1  # too few candidates: these triplets do not exist
    negatives[5] = -1
    holes, model = dataclasses.replace(triplets, negatives_MPn=negatives), whole.load_model()
    there = [(c, 0, r) for c in range(8) for r in range(4) if negatives[c, 0, r] >= 0]
    with torch.inference_mode():
        by_hand = 0.0
        for clip, _, rank in there:
            rows = torch.from_numpy(sub_clips[clip])[None]
            v = model.visual_embedding(rows, torch.tensor([rows.shape[1]]))[0]
            p = model.sentence_embedding(vectors[holes.positives_MP[clip, 0]])
            n = model.sentence_embedding(vectors[negatives[clip, 0, rank]])
            to_p, to_n = (math.sqrt(sum((v[e] - other[e]) ** 2 for e in range(8))) for other in (p, n))
            by_hand += max(to_p - to_n + margin, 0.0)
        for members in (np.arange(8), np.array(there)):  # by sub-clip, and by triplet
            batch = batch_of(holes, sub_clips, vectors, members, model.config.longest_s, torch.device("cpu"))
            total, count, _ = TripletLoss(model, margin)(*batch)
            assert int(count) == len(there) == 8 * 4 - 7
            assert float(total) == pytest.approx(by_hand, rel=1e-5)


def test_a_share_of_the_videos_is_kept_for_validation(triplets, train):
    assert len(set(triplets.video_M[split_by_video(triplets, 0.25, seed=3)[1]].tolist())) == 6
    alone = np.where(triplets.video_M[:, None, None] == 0, triplets.negatives_MPn, -1)
    with pytest.raises(InputError, match="needs two"):
        train(data=dataclasses.replace(triplets, negatives_MPn=alone))


def test_training_learns_and_the_run_keeps_all(triplets, train, sub_clips):
    seen = []
    run = train(epochs=12, standardise=True, on_progress=seen.append)
    epochs = [line for line in seen if line["kind"] == "epoch"]
    assert epochs[-1]["validation_loss"] < 0.6 * epochs[0]["validation_loss"]
    assert seen == run.history()
    assert all(line["triplets_per_s"] > 0 and line["eta_s"] >= 0 for line in seen if line["kind"] == "steps")
    assert run.record()["validation_loss"] == min(line["validation_loss"] for line in epochs)
    assert run.trained and equal(run, Run.open(run.folder))
    # standardisation by training sub-clips, all their seconds alike
    rows, model = np.concatenate([sub_clips[c] for c in split_by_video(triplets, 0.1, 0)[0]]), run.load_model()
    np.testing.assert_allclose(model.feature_mean, rows.mean(0), atol=1e-4)
    np.testing.assert_allclose(model.feature_std, rows.std(0), rtol=1e-3)


def test_same_seed_same_weights_and_global_randomness_is_left_alone(train):
    before = torch.get_rng_state()
    one, two, other = (train(name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert torch.equal(before, torch.get_rng_state())
    assert equal(one, two) and not equal(one, other)
    assert not equal(one, train("d", order="triplet"))


def test_patience_ends_training(train):
    record = train(epochs=50, patience=2, lr=1e-9).record()
    assert record["epochs"] <= record["best_epoch"] + 2


@pytest.mark.parametrize(("epoch", "kind"), [(1, "steps"), (2, "epoch"), (4, "steps")])
def test_resumed_training_ends_with_the_same_weights(train, whole, epoch, kind, tmp_path):
    with pytest.raises(StopError):
        train(epochs=4, head=LinearHead("a", "b", np.zeros((1, 12))), on_progress=stop_at(epoch, kind))
    assert (tmp_path / "run/objects.safetensors").exists()  # before the run counts as trained
    resumed = train(epochs=4, resume=True)
    assert resumed.trained and equal(resumed, whole)
    histories = [run.history() for run in (resumed, whole)]
    for line in (line for history in histories for line in history):
        line.pop("triplets_per_s", None), line.pop("eta_s", None)
    assert histories[0] == histories[1]


def test_a_run_is_not_written_over_nor_resumed_with_other_settings(triplets, train, tmp_path):
    with alone(tmp_path / "run"), pytest.raises(InputError, match="another process is at it"):
        train(epochs=1)
    train(epochs=1)
    with pytest.raises(InputError, match="already holds a run"):
        train(epochs=1)
    other = dataclasses.replace(triplets, negatives_MPn=triplets.negatives_MPn[:, :, ::-1])
    with pytest.raises(MismatchError, match=r"other settings \(triplets\)"):
        train(data=other, epochs=1, resume=True)
    with pytest.raises(MismatchError, match=r"other settings \(training\)"):
        train(epochs=2, resume=True)


def test_features_of_another_encoder_are_refused(triplets, train, whole):
    record = triplets.record | {"feature_encoder": {"encoder": "bit", "fingerprint": "b" * 64, "dim": 12}}
    with pytest.raises(MismatchError, match=r"made-up \(f{16}\).*bit \(b{16}\)"):
        train(data=dataclasses.replace(triplets, record=record))
    with pytest.raises(MismatchError, match=r"bit.*made-up"):
        whole.check_feature_encoder("bit", "b" * 64)
    with pytest.raises(MismatchError, match="sentence vectors"):
        whole.check_sentence_encoder("minilm", "1" * 64)


@pytest.mark.parametrize("settings", [{"epochs": 9}, {"epochs": 1, "batch": 10_000}])
def test_divergence_is_an_error_and_not_a_run(train, tmp_path, settings):
    """With one step an epoch, its loss is taken before the weights explode: only validation sees them."""
    for resume in (False, True):
        with pytest.raises(DivergedError, match="lower --lr"):
            train(lr=1e30, resume=resume, **settings)
    assert not Run.open(tmp_path / "run").trained


def test_training_reads_the_rows_of_sub_clips_and_holds_no_videos(triplets, train, monkeypatch):
    read, refs, lengths, alive = FeatureStore.rows, [], [], []

    def rows(self, *where):
        found = read(self, *where)
        refs.append((weakref.ref(found), len(found)))
        lengths.append(len(found))
        alive.append(sum(length for ref, length in refs if ref() is not None))
        return found

    monkeypatch.setattr(FeatureStore, "rows", rows)
    train(epochs=2, batch=4)
    assert max(lengths) == 10 and len(lengths) > 2 * len(triplets.video_M)
    assert max(alive) <= 200 < 24 * 30  # the two videos of the validation loss, of 24 videos


def test_damaged_runs_are_refused(whole, tmp_path):
    run = Run.open(shutil.copytree(whole.folder, tmp_path / "run"))
    model, path = run.load_model(), run.folder / "model.safetensors"
    with torch.no_grad():
        model.sentence.bias[0] = float("nan")
    run.save_model(model)
    with pytest.raises(FormatError, match="not finite"):
        run.load_model()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FormatError, match=r"model\.safetensors is no safetensors file"):
        run.load_model()
    reads = [("domain.safetensors", run.ood_distance), ("record.json", run.record), ("history.jsonl", run.history)]
    for name, read in (*reads, ("config.json", lambda: Run.open(run.folder))):
        read()
        for damage in (b"\xff\n", b"[]\n"):
            (run.folder / name).write_bytes(damage)
            with pytest.raises(FormatError, match=name):
                read()
    with pytest.raises(FormatError, match="holds no run"):
        Run.open(tmp_path)


def test_a_damaged_state_is_refused_and_never_unpickled(train, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    with pytest.raises(StopError):
        train(on_progress=stop_at(2, "epoch"))
    path = tmp_path / "run/state.pt"
    state = torch.load(path, weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "best_state"}, tmp_path / "lacking.pt")
    for content in (b"", pickle.dumps(Trap(), protocol=2), (tmp_path / "lacking.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="delete it"):
            train(resume=True)
    assert not (tmp_path / "sprung").exists()


STATES = {  # what of a state is another, and the words that refuse it
    "figures are none": lambda state: state | {"epoch": -(2**60)},
    "of a training": lambda state: state | {"best_loss": "low"},
    "figures are no numbers": lambda state: state | {"epoch_loss": float("inf")},
    "JSON serializable": lambda state: state | {"history": [{"loss": torch.ones(1)}]},
    "in loading state_dict": lambda state: (
        state | {"best_state": {key: value[:1] for key, value in state["model"].items()}}
    ),
    "weights are no numbers": lambda state: (
        state | {"model": {key: value * float("nan") for key, value in state["model"].items()}}
    ),
    "optimiser is of other weights": lambda state: (
        state | {"optimiser": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1).expand(2**40)}}}}
    ),
}


@pytest.mark.parametrize("words", STATES)
def test_a_state_that_would_train_on_nonsense_is_refused(train, tmp_path, words):
    with pytest.raises(StopError):
        train(on_progress=stop_at(2, "epoch"))
    path = tmp_path / "run/state.pt"
    torch.save(STATES[words](torch.load(path, weights_only=True)), path)
    with pytest.raises(FormatError, match=rf"state\.pt cannot be read .*{words}.* delete it"):
        train(resume=True)


def test_defaults_are_the_papers_and_impossible_settings_are_refused():
    for name, value in (("order", "random"), ("lr", -1.0), ("margin", float("nan")), ("epoch", 3), ("batch", "8")):
        with pytest.raises(InputError, match=name):
            from_dict(TrainingConfig, {name: value})
    config = TrainingConfig()
    assert (config.lr, config.betas, config.weight_decay) == (1e-4, (0.9, 0.99), 1e-5)
    assert (config.batch, config.epochs, config.patience, config.margin) == (128, 25, 10, 1.0)
    encoder, model = {"name": "x", "fingerprint": "y"}, {"feature_dim": 4096, "sentence_dim": 768}
    parts = {"format": 1, "model": model, "training": {}, "feature_encoder": encoder, "sentence_encoder": encoder}
    assert RunConfig.from_dict(parts).fusion == FUSION == {"alpha": 0.8, "beta": 0.2, "gamma": 0.0}


def test_ood_distance_tells_what_is_like_training():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 40))
    clips = (rng.normal(size=(500, 5)) @ mixing + 0.1 * rng.normal(size=(500, 40)) + 3).astype(np.float32)
    ood = OodDistance.fit(clips, np.random.default_rng(1))
    distances = [ood.distance(clip[None]) for clip in clips]
    assert np.mean(np.array(distances) <= 1) == pytest.approx(0.99, abs=0.005)
    # what is left after projecting on the principal directions, written out
    standardised = (clips - clips.mean(0)) / clips.std(0)
    basis = PCA(20, svd_solver="full").fit(standardised).components_
    residual = [float(((x - basis.T @ (basis @ x)) ** 2).sum()) for x in standardised]
    np.testing.assert_allclose(distances, np.array(residual) / np.quantile(residual, 0.99), rtol=3e-3)
    fresh = (rng.normal(size=(9, 5)) @ mixing + 3).astype(np.float32)
    strange = (3 * rng.normal(size=(9, 40)) + 3).astype(np.float32)
    assert max(ood.distance(clip[None]) for clip in fresh) < 1.5
    assert min(ood.distance(clip[None]) for clip in strange) > 5


@pytest.mark.parametrize(("order", "begun"), [("sub-clip", False), ("triplet", True)])
def test_two_processes_train_as_one_does_and_finish_what_it_began(made_up, triplets, tmp_path, train, order, begun):
    triplets.save(tmp_path / "triplets.safetensors")
    settings = {"order": order, "batch": 33, "model": MODEL | {"dropout": 0.0}}
    one = train(**settings)
    if begun:
        with pytest.raises(StopError):
            train("two", on_progress=stop_at(2, "steps"), **settings)
    command = f"""{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2 -m cezsar train
        {tmp_path}/triplets.safetensors --store {made_up[1].folder} --out {tmp_path}/two --epochs 3 --batch 33 --lr 3e-3
        --dropout 0 --order {order} --d-model 16 --d-emb 8 --ffn 16 {"--resume" * begun}"""
    ran = subprocess.run([*command.split(), "--domain", "made-up videos"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stdout.count("best epoch") == 1, ran.stderr
    for here, there in zip(one.history(), Run.open(tmp_path / "two").history(), strict=True):
        for name in ("epoch", "step", "loss", "train_loss", "validation_loss"):
            assert name not in here or here[name] == pytest.approx(there[name], rel=1e-4)
