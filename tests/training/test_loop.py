"""Training: Eq. 7 in plain loops, splits, both orders, resuming, and what a run keeps."""

import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from cezsar.data.features import FeatureStore
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.model import CEZSAR
from cezsar.training.loop import DivergedError, config_for, loss_sum, train, triplet_loss
from cezsar.training.runs import Familiarity, Run, RunConfig, TrainingConfig
from cezsar.training.samples import Samples, split_by_video

MODEL = {"d_model": 16, "d_emb": 8, "ffn": 16}
QUICK = {"epochs": 3, "batch": 32, "lr": 3e-3}


def configuration(triplets, store, **training):
    return config_for(triplets, store, model=MODEL, training=QUICK | training, domain="made-up videos")


def weights(run):
    return {name: value.numpy() for name, value in run.load_model().state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_triplet_loss_is_equation_7():
    v, p, n = (torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 3))
    for margin in (0.2, 1.0, 5.0):
        for i, value in enumerate(triplet_loss(v, p, n, margin)):
            to_p = math.sqrt(sum((v[i, j] - p[i, j]) ** 2 for j in range(4)))
            to_n = math.sqrt(sum((v[i, j] - n[i, j]) ** 2 for j in range(4)))
            assert float(value) == pytest.approx(max(to_p - to_n + margin, 0), abs=1e-5)


def test_a_step_scores_every_triplet_once_and_no_other(made_up, triplets):
    _, store = made_up
    negatives = triplets.negatives_MPn.copy()
    negatives[2, 0, 1:] = -1  # too few candidates: these triplets do not exist
    negatives[5] = -1
    holes = dataclasses.replace(triplets, negatives_MPn=negatives)
    torch.manual_seed(0)
    model = CEZSAR(configuration(triplets, store).model).eval()
    samples = Samples(holes, store, model)
    clips = np.arange(8)
    with torch.inference_mode():
        total, count, _ = loss_sum(model, samples.clips(clips, torch.device("cpu")), 1.0)
        by_hand, number = 0.0, 0
        for clip in clips.tolist():
            features = samples.features(clip)[None]
            v = model.visual_embedding(features, torch.tensor([features.shape[1]]))[0]
            p = model.sentence_embedding(samples.vectors_NS[holes.positives_MP[clip, 0]])
            for negative in negatives[clip, 0].tolist():
                if negative >= 0:
                    n = model.sentence_embedding(samples.vectors_NS[negative])
                    by_hand += max(float((v - p).norm() - (v - n).norm()) + 1.0, 0.0)
                    number += 1
        members = np.array([(c, 0, r) for c in clips for r in range(4) if negatives[c, 0, r] >= 0])
        one_by_one, count_too, _ = loss_sum(model, samples.triples(members, torch.device("cpu")), 1.0)
    assert int(count) == int(count_too) == number == 8 * 4 - 7
    assert float(total) == pytest.approx(by_hand, rel=1e-5)
    assert float(one_by_one) == pytest.approx(by_hand, rel=1e-5)


def test_no_video_is_on_both_sides_of_the_validation_split(triplets):
    train_clips, validation_clips = split_by_video(triplets, 0.25, seed=3)
    videos = [set(triplets.video_M[clips].tolist()) for clips in (train_clips, validation_clips)]
    assert not videos[0] & videos[1]
    assert len(videos[1]) == 6
    assert sorted([*train_clips, *validation_clips]) == list(range(len(triplets.video_M)))


def test_training_learns_and_the_run_keeps_all(made_up, triplets, tmp_path):
    _, store = made_up
    seen = []
    config = configuration(triplets, store, epochs=12, standardise=True)
    run = train(triplets, store, tmp_path / "run", config, on_progress=seen.append)
    epochs = [line for line in seen if line["kind"] == "epoch"]
    assert epochs[-1]["validation_loss"] < 0.6 * epochs[0]["validation_loss"]
    assert seen == run.history()
    steps = [line for line in seen if line["kind"] == "steps"]
    assert all(line["triplets_per_s"] > 0 and line["eta_s"] >= 0 for line in steps)
    record = run.record()
    assert record["validation_loss"] == min(line["validation_loss"] for line in epochs)
    assert run.trained and Run.open(run.folder).config == config
    assert equal(weights(run), weights(Run.open(run.folder)))
    # standardisation by training sub-clips, all their seconds alike
    samples = Samples(triplets, store, run.load_model())
    rows = torch.cat([samples.features(int(clip)) for clip in split_by_video(triplets, 0.1, 0)[0]])
    np.testing.assert_allclose(run.load_model().feature_mean, rows.mean(0), atol=1e-4)
    np.testing.assert_allclose(run.load_model().feature_std, rows.std(0, correction=0), rtol=1e-3)


def test_same_seed_same_weights_and_global_randomness_is_left_alone(made_up, triplets, tmp_path):
    _, store = made_up
    torch.manual_seed(7)
    before = torch.get_rng_state()
    runs = [
        train(triplets, store, tmp_path / name, configuration(triplets, store, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert equal(weights(runs[0]), weights(runs[1]))
    assert not equal(weights(runs[0]), weights(runs[2]))


def test_both_orders_reach_the_same_validation_loss(made_up, triplets, tmp_path):
    _, store = made_up
    # Equal numbers of steps and of triplets a step: only which triplets share a step differs.
    losses = []
    for order, batch in (("sub-clip", 8), ("triplet", 32)):
        config = configuration(triplets, store, order=order, batch=batch, epochs=25, lr=2e-3)
        losses.append(train(triplets, store, tmp_path / order, config).record()["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_patience_ends_training(made_up, triplets, tmp_path):
    _, store = made_up
    config = configuration(triplets, store, epochs=50, patience=2, lr=1e-9)
    run = train(triplets, store, tmp_path / "run", config)
    record = run.record()
    assert record["epochs"] <= record["best_epoch"] + 2


def test_resumed_training_ends_with_the_same_weights(made_up, triplets, tmp_path):
    _, store = made_up
    config = configuration(triplets, store, epochs=4)
    whole = train(triplets, store, tmp_path / "whole", config)

    class StopError(Exception):
        pass

    def stop_at(epoch, kind):
        def on_progress(line):
            if line["kind"] == kind and line["epoch"] == epoch:
                raise StopError

        return on_progress

    for name, epoch, kind in (("a", 1, "steps"), ("b", 2, "epoch"), ("c", 4, "steps")):
        with pytest.raises(StopError):
            train(triplets, store, tmp_path / name, config, on_progress=stop_at(epoch, kind))
        assert not Run.open(tmp_path / name).trained
        resumed = train(triplets, store, tmp_path / name, config, resume=True)
        assert equal(weights(resumed), weights(whole))
        untimed = [
            [{k: v for k, v in line.items() if k not in ("triplets_per_s", "eta_s")} for line in run.history()]
            for run in (resumed, whole)
        ]
        assert untimed[0] == untimed[1]


SCRIPT = """
import sys
from cezsar.data.features import FeatureStore
from cezsar.training import loop
from cezsar.training.runs import RunConfig
from cezsar.training.triplets import Triplets
import json
loop.STEPS_PER_STATE = 3
config = RunConfig.from_dict(json.load(open(sys.argv[3])))
loop.train(Triplets.load(sys.argv[1]), FeatureStore(sys.argv[2]), sys.argv[4], config, resume=True, device="cpu")
"""


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.heavy)])
def test_killed_training_resumes_to_the_same_weights(made_up, triplets, tmp_path, kills):
    _, store = made_up
    config = configuration(triplets, store, epochs=30 * kills, batch=8, patience=30 * kills)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    triplets.save(tmp_path / "t.safetensors")
    arguments = [str(tmp_path / "t.safetensors"), str(store.folder), str(tmp_path / "config.json")]
    rng = np.random.default_rng(kills)

    def start(name):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments, str(tmp_path / name)])

    assert start("whole").wait() == 0
    history = tmp_path / "killed/history.jsonl"
    for _ in range(kills):
        before = history.stat().st_ino if history.exists() else None
        process = start("killed")
        size = None
        while process.poll() is None:  # until it has trained: resuming writes the file anew, steps make it grow
            if history.exists() and history.stat().st_ino != before:
                size = history.stat().st_size if size is None else size
                if history.stat().st_size > size:
                    break
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.25)))
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not Run.open(tmp_path / "killed").trained
    assert start("killed").wait() == 0
    runs = [Run.open(tmp_path / name) for name in ("killed", "whole")]
    assert equal(weights(runs[0]), weights(runs[1]))
    assert len(runs[0].history()) == len(runs[1].history())
    assert not list((tmp_path / "killed").glob("state.pt"))


def test_a_run_is_not_written_over_nor_resumed_with_other_settings(made_up, triplets, tmp_path):
    _, store = made_up
    config = configuration(triplets, store, epochs=1)
    train(triplets, store, tmp_path / "run", config)
    with pytest.raises(InputError, match="already holds a run"):
        train(triplets, store, tmp_path / "run", config)
    other = dataclasses.replace(triplets, negatives_MPn=triplets.negatives_MPn[:, :, ::-1])
    with pytest.raises(MismatchError, match=r"other settings \(triplets\)"):
        train(other, store, tmp_path / "run", configuration(other, store, epochs=1), resume=True)
    with pytest.raises(MismatchError, match=r"other settings \(training\)"):
        train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=2), resume=True)


def test_features_of_another_encoder_are_refused(made_up, triplets, tmp_path):
    _, store = made_up
    other = dataclasses.replace(
        triplets,
        record=triplets.record | {"feature_encoder": {"encoder": "bit", "fingerprint": "b" * 64, "dim": 12}},
    )
    with pytest.raises(MismatchError, match=r"bit \(b{16}\).*made-up \(f{16}\)"):
        train(other, store, tmp_path / "run", configuration(triplets, store))
    run = train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=1))
    run.check_feature_encoder("made-up", "f" * 64)
    with pytest.raises(MismatchError, match=r"bit.*made-up"):
        run.check_feature_encoder("bit", "b" * 64)
    with pytest.raises(MismatchError, match="sentence vectors"):
        run.check_sentence_encoder("minilm", "1" * 64)


def test_divergence_is_an_error_and_not_a_run(made_up, triplets, tmp_path):
    _, store = made_up
    with pytest.raises(DivergedError, match="lower --lr"):
        train(triplets, store, tmp_path / "run", configuration(triplets, store, lr=1e30, epochs=9))
    assert not Run.open(tmp_path / "run").trained


def test_a_validation_loss_that_is_never_a_number_is_the_same_error(made_up, triplets, tmp_path):
    """One step an epoch: its loss is taken before the weights explode, so only validation sees them."""
    _, store = made_up
    config = configuration(triplets, store, lr=1e30, epochs=1, batch=100_000)
    for resume in (False, True):
        with pytest.raises(DivergedError, match="lower --lr"):
            train(triplets, store, tmp_path / "run", config, resume=resume)
    assert not Run.open(tmp_path / "run").trained


def test_training_reads_the_rows_of_sub_clips_and_holds_no_videos(made_up, triplets, tmp_path, monkeypatch):
    _, store = made_up
    read, refs, lengths, alive = FeatureStore.rows, [], [], []

    def rows(self, *where):
        found = read(self, *where)
        refs.append((weakref.ref(found), len(found)))
        lengths.append(len(found))
        alive.append(sum(length for ref, length in refs if ref() is not None))
        return found

    monkeypatch.setattr(FeatureStore, "rows", rows)
    train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=2, batch=4))
    assert max(lengths) == 10 and len(lengths) > 2 * len(triplets.video_M)
    assert max(alive) <= 200 < 24 * 30  # the two videos of the validation loss, of 24 videos


def test_damaged_runs_are_refused(made_up, triplets, tmp_path):
    _, store = made_up
    run = train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=1))
    path = run.folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(FormatError, match=r"model\.safetensors cannot be used"):
        run.load_model()
    path.unlink()
    with pytest.raises(FormatError, match=r"no model\.safetensors yet"):
        run.load_model()
    settings = json.loads((run.folder / "config.json").read_text())
    for damage in ("{", "[]", json.dumps(settings | {"format": 99}), json.dumps(settings | {"colour": 1})):
        (run.folder / "config.json").write_text(damage)
        with pytest.raises(FormatError, match=r"config\.json cannot be used"):
            Run.open(run.folder)
    with pytest.raises(FormatError, match="holds no run"):
        Run.open(tmp_path)
    for damage in (b"{", b"\xff", b"[]"):
        for name, read in (("record.json", run.record), ("history.jsonl", run.history)):
            (run.folder / name).write_bytes(damage + b"\n")
            with pytest.raises(FormatError, match=name):
                read()


def test_a_state_that_lacks_something_is_refused(made_up, triplets, tmp_path):
    _, store = made_up

    class StopError(Exception):
        pass

    def stop(line):
        if line["kind"] == "epoch" and line["epoch"] == 2:
            raise StopError

    config = configuration(triplets, store)
    with pytest.raises(StopError):
        train(triplets, store, tmp_path / "run", config, on_progress=stop)
    path = tmp_path / "run/state.pt"
    state = torch.load(path, weights_only=True)
    for lost in ("epoch", "best_state", "seconds", "model"):
        torch.save({key: value for key, value in state.items() if key != lost}, path)
        with pytest.raises(FormatError, match=f"{lost}.*delete it"):
            train(triplets, store, tmp_path / "run", config, resume=True)


def test_weights_that_are_not_finite_are_refused(made_up, triplets, tmp_path):
    _, store = made_up
    run = train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=1))
    model = run.load_model()
    with torch.no_grad():
        model.sentence.bias[0] = float("nan")
    run.save_model(model)
    with pytest.raises(FormatError, match="not finite"):
        run.load_model()


def test_a_damaged_state_is_refused_and_never_unpickled(made_up, triplets, tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    _, store = made_up
    config = configuration(triplets, store, epochs=1)
    Run.create(tmp_path / "run", config)
    buffer = io.BytesIO()
    torch.save({"model": {}}, buffer)
    for content in (b"", b"nonsense", pickle.dumps(Trap()), buffer.getvalue()):
        (tmp_path / "run/state.pt").write_bytes(content)
        with pytest.raises(FormatError, match="delete it"):
            train(triplets, store, tmp_path / "run", config, resume=True)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "random"}, "order"),
        ({"precision": "fp8"}, "precision"),
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": -1.0}, "lr is -1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"validation": 1.0}, "share of the videos"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**changes)
    with pytest.raises(FormatError, match="epoch"):
        TrainingConfig.from_dict({"epoch": 3})


def test_defaults_are_the_papers():
    config = TrainingConfig()
    assert (config.lr, config.betas, config.weight_decay) == (1e-4, (0.9, 0.99), 1e-5)
    assert (config.batch, config.epochs, config.patience, config.margin) == (128, 25, 10, 1.0)
    assert RunConfig.from_dict(
        {
            "format": 1,
            "model": {"feature_dim": 4096, "sentence_dim": 768},
            "training": {},
            "feature_encoder": {},
            "sentence_encoder": {},
        }
    ).fusion == {"alpha": 0.8, "beta": 0.2, "gamma": 0.0}


def test_familiarity_tells_what_is_like_training():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 40))
    clips = (rng.normal(size=(500, 5)) @ mixing + 0.1 * rng.normal(size=(500, 40)) + 3).astype(np.float32)
    familiarity = Familiarity.fit(clips, np.random.default_rng(1))
    distances = [familiarity.distance(clip[None]) for clip in clips]
    assert np.mean(np.array(distances) <= 1) == pytest.approx(0.99, abs=0.005)
    # what is left after projecting on the principal directions, written out
    standardised = (clips - clips.mean(0)) / clips.std(0)
    basis = PCA(20, svd_solver="full").fit(standardised).components_
    residual = [float(((x - basis.T @ (basis @ x)) ** 2).sum()) for x in standardised]
    np.testing.assert_allclose(distances, np.array(residual) / np.quantile(residual, 0.99), rtol=3e-3)
    some = Familiarity.fit(clips, np.random.default_rng(1), np.arange(10, 30))
    alone = Familiarity.fit(clips[:, 10:30], np.random.default_rng(1))
    assert some.distance(clips[:3]) == pytest.approx(alone.distance(clips[:3, 10:30]), rel=1e-4)
    fresh = (rng.normal(size=(9, 5)) @ mixing + 3).astype(np.float32)
    strange = (3 * rng.normal(size=(9, 40)) + 3).astype(np.float32)
    assert max(familiarity.distance(clip[None]) for clip in fresh) < 1.5
    assert min(familiarity.distance(clip[None]) for clip in strange) > 5


def test_a_damaged_familiarity_is_refused(made_up, triplets, tmp_path):
    _, store = made_up
    run = train(triplets, store, tmp_path / "run", configuration(triplets, store, epochs=1))
    assert run.familiarity() is not None
    (run.folder / "domain.safetensors").write_bytes(b"none")
    with pytest.raises(FormatError, match=r"domain\.safetensors cannot be read"):
        run.familiarity()


def test_one_video_is_too_few(made_up, triplets, tmp_path):
    _, store = made_up
    alone = np.where(triplets.video_M[:, None, None] == 0, triplets.negatives_MPn, -1)
    with pytest.raises(InputError, match="needs two"):
        train(
            dataclasses.replace(triplets, negatives_MPn=alone),
            store,
            tmp_path / "run",
            configuration(triplets, store),
        )
