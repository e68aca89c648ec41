"""What computes on a GPU, held against the processor: the same code with another device."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform

from cezsar.config import MiningConfig, ModelConfig
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.encoders import load_sentence_encoder
from cezsar.encoders.timm_models import TimmEncoder
from cezsar.errors import CezsarError
from cezsar.model import CEZSAR, clip_embeddings, stack
from cezsar.training import loop
from cezsar.training.cross_modal import train_model
from cezsar.training.loop import Resident, Rows
from cezsar.training.mining import mine
from cezsar.training.triplets import Triplets
from cezsar.video import Frame

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use")
RECIPES = "paper", "released", "kernel"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NO_GPU)])
def device(request):
    return request.param


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """24 videos of 12 to 19 seconds."""
    folder, rng = tmp_path_factory.mktemp("store"), np.random.default_rng(0)
    with StoreWriter(folder, {"encoder": "drawn", "fingerprint": "drawn", "dim": 12, "fps": 1.0}) as writer:
        for video in range(24):
            writer.add(f"v{video}", rng.normal(size=(12 + video % 8, 12)) + 2 * np.eye(12)[video % 6])
    return FeatureStore(folder)


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frames_have_the_same_features(device, precision):
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 12, 3), dtype=np.uint8).repeat(20, 1).repeat(20, 2)
    model = timm.create_model("test_resnet").eval()
    transform = create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        maps = model.forward_features(torch.stack([transform(Image.fromarray(image)) for image in images]))
        expected = model.forward_head(maps, pre_logits=True).flatten(1).numpy()
    encoder = TimmEncoder("m", model, precision=precision, device=device, batch=2)
    found = encoder.encode([Frame(float(second), image) for second, image in enumerate(images)])
    assert found.dtype == np.float32 and next(model.parameters()).device.type == device
    if precision == "fp32":
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert cosines(found, expected).min() > (0.999999 if precision == "fp32" else 0.999)


@pytest.mark.parametrize("recipe", RECIPES)
def test_clips_have_the_same_embeddings(device, store, recipe):
    torch.manual_seed(0)
    model = CEZSAR(ModelConfig(12, 16, 8, 8, 2, 2, 16, recipe=recipe)).eval()
    clips = [store.features(video) for video in store.ids]
    alone = [clip_embeddings(model, [clip])[0] for clip in clips]
    found = clip_embeddings(model.to(device), clips, batch=7)
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("longest", [4, 15])
def test_features_that_stay_on_the_device_are_those_of_the_store(device, store, longest):
    places = [("v3", 2, 9), ("v3", 0, 4), ("v7", 5, 19), ("v0", 0, 99), ("v7", 18, 19)]
    rows, chosen = Rows(store, places), np.array([4, 0, 3, 0, 2])
    resident = Resident(rows, torch.device(device))
    assert len(resident.table_RD) == 9 + 14 + 12 and resident.table_RD.dtype == torch.float16
    features, lengths = resident.batch(chosen, longest)
    wanted, wanted_lengths = stack(
        [store.features(v)[first:stop] for v, first, stop in map(places.__getitem__, chosen)], longest
    )
    assert (
        features.device.type == device
        and torch.equal(features.cpu(), wanted)
        and torch.equal(lengths.cpu(), wanted_lengths)
    )
    assert Resident.fits(rows, torch.device(device)) == (device == "cuda")


@pytest.fixture(scope="module")
def triplets(store):
    rng = np.random.default_rng(1)
    vectors = np.eye(16)[np.arange(24) % 6] + 0.6 + 0.1 * rng.normal(size=(24, 16))
    own, groups = np.arange(24)[:, None], np.arange(24)
    negatives = (own[..., None] + np.arange(1, 4)) % 24  # of other directions
    rows = np.tile([[1, 11]], (24, 1))
    record = {"feature_encoder": {"encoder": "drawn", "fingerprint": "drawn", "dim": 12},
              "sentence_encoder": {"name": "drawn", "fingerprint": "drawn", "dim": 16}}  # fmt: skip
    arrays = [array.astype(np.int32) for array in (groups, rows, own, negatives)]
    return Triplets(store.ids, *arrays[:2], [f"{n}" for n in groups], vectors.astype(np.float32), *arrays[2:], record)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_reaches_the_same_losses(device, store, triplets, tmp_path, monkeypatch, precision):
    shape = {"d_emb": 8, "d_model": 16, "heads": 2, "ffn": 16, "dropout": 0.0}
    how = {"epochs": 6, "batch": 8, "lr": 3e-3, "validation": 0.25}
    exact = loop.train(
        triplets, store, tmp_path / "cpu", model=shape, training=how | {"precision": "fp32"}, device="cpu"
    )
    monkeypatch.setattr(Resident, "fits", lambda rows, device: True)
    settings = {"model": shape, "training": how | {"precision": precision}}
    run = loop.train(triplets, store, tmp_path / "run", **settings, device=device)
    near = 1e-3 if precision == "fp32" else 0.05  # of the loss of a very small model
    for name in ("train_loss", "validation_loss"):
        one, other = ([line[name] for line in each.history() if line["kind"] == "epoch"] for each in (exact, run))
        assert other == pytest.approx(one, rel=near) and (one[-1] < one[0] or name != "train_loss")
    assert run.record()["precision"] == precision and run.record()["device"].startswith(device)
    clips = [store.features(video)[1:11] for video in store.ids]
    one, other = (clip_embeddings(each.load_model(), clips) for each in (exact, run))
    assert precision == "bf16" or cosines(one, other).min() > 0.9999


def test_hard_negatives_lie_in_the_band(device):
    rng = np.random.default_rng(0)
    vectors, groups = rng.normal(size=(2000, 24)).astype(np.float32) + 0.3, np.arange(2000) // 4
    own = np.arange(200)[:, None]
    negatives, too_few = mine(own, groups[:200], vectors, groups, rng, MiningConfig(0.8, 10), device=device)
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    for anchor, drawn in enumerate(negatives[:, 0].tolist()):
        distances = 1 - unit[drawn] @ unit[anchor]
        assert len(set(drawn)) == 10 and (distances > 0).all() and (distances < 0.8 + 1e-6).all()
        assert anchor // 4 not in groups[drawn]
    assert not too_few


def test_the_cross_modal_method_learns(device, store):
    features = [store.features(video)[:10] for video in store.ids]
    tokens = [np.eye(6, dtype=np.float32)[[c]] for c in range(6)]
    lines = []
    config = ModelConfig(12, 6, 8, 16, 1, 2, 16, recipe="cross-modal")
    settings = loop.TrainingConfig(epochs=5, batch=8, lr=3e-3)
    train_model(features, np.arange(24) % 6, tokens, config, settings, torch.Generator().manual_seed(0), device=device,
                on_progress=lines.append)  # fmt: skip
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]


def test_sentences_have_the_same_vectors(device):
    texts = ["a person juggles", "somebody rides a horse over a fence, and falls", "archery"]
    expected = load_sentence_encoder("minilm", "cpu").encode(texts)
    np.testing.assert_allclose(load_sentence_encoder("minilm", device).encode(texts), expected, atol=1e-4)


def test_full_memory_is_told_with_what_to_do(monkeypatch):
    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has none. See elsewhere.")

    encoder = TimmEncoder("m", timm.create_model("test_resnet"), device="cpu")
    monkeypatch.setattr(encoder, "_forward", full)
    with pytest.raises(CezsarError, match=r"memory of cpu is full \(CUDA out of memory\): .*smaller --batch"):
        encoder.encode([Frame(0.0, np.zeros((9, 9, 3), np.uint8))])


@pytest.mark.heavy  # the compiler takes a minute
def test_what_is_compiled_computes_the_same(device, store, triplets, tmp_path):
    model = timm.create_model("test_resnet")
    images = np.random.default_rng(0).integers(0, 256, (5, 90, 120, 3), dtype=np.uint8)
    frames = [Frame(float(second), image) for second, image in enumerate(images)]
    eager = TimmEncoder("m", model, precision="fp32", device=device).encode(frames)
    compiled = TimmEncoder("m", model, precision="fp32", device=device, batch=3, compiled=True)
    np.testing.assert_allclose(compiled.encode(frames), eager, rtol=1e-3, atol=1e-4)
    shape = {"d_emb": 8, "d_model": 16, "heads": 2, "ffn": 16, "dropout": 0.0}
    settings = {"model": shape, "training": {"epochs": 2, "batch": 8, "precision": "fp32"}, "device": device}
    runs = [loop.train(triplets, store, tmp_path / f"{on}", **settings, compiled=on) for on in (False, True)]
    one, other = ([line["validation_loss"] for line in run.history() if line["kind"] == "epoch"] for run in runs)
    assert other == pytest.approx(one, rel=1e-3)
