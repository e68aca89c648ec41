"""Frames to look at, an empty workspace and no hub, whatever the machine has."""

import numpy as np
import pytest
import torch

from cezsar.video import Frame


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(autouse=True, scope="module")
def in_float32():
    """Features are compared with libraries called directly, so without bf16, whatever the processor has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", dict)
        yield


@pytest.fixture
def frames():
    coarse = np.random.default_rng(5).integers(0, 256, (5, 9, 12, 3), dtype=np.uint8)
    return [Frame(float(t), np.kron(image, np.ones((20, 20, 1), np.uint8))) for t, image in enumerate(coarse)]
