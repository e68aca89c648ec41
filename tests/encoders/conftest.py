"""Small models with random weights, saved as the genuine formats are saved, and frames to look at."""

import numpy as np
import pytest

from cezsar.video import Frame


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch, tmp_path):
    """An empty workspace and no hub, whatever the machine has."""
    from huggingface_hub import constants

    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(autouse=True, scope="package")
def in_float32():
    """Features are compared with libraries called directly, so without bf16, whatever the processor has."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", dict)
        yield


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small are slower on two threads, and much slower where another process has one of the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def frames():
    """Five frames of a shape that has to be resized and cropped, no two alike."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (5, 9, 12, 3), dtype=np.uint8)
    return [Frame(float(t), np.kron(image, np.ones((20, 20, 1), np.uint8))) for t, image in enumerate(coarse)]
