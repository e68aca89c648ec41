"""What all tests share: one thread, no network, and a small stick-figure world with everything made from it."""

import os

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import pytest
import torch

torch.set_num_threads(1)  # several would only wait for each other where tests run side by side


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory):
    """A workspace in which the whole demo has run, small: (folder, report)."""
    from cezsar.demo import Recipe, run_demo

    home = tmp_path_factory.mktemp("workspace")
    recipe = Recipe(videos=10, clips_per_class=1, training={"lr": 1e-3, "epochs": 2, "batch": 32, "standardise": True})
    return home, run_demo(home, seed=5, recipe=recipe)


@pytest.fixture
def workspace(small_demo, monkeypatch):
    """The small demo's workspace as `$CEZSAR_HOME`."""
    monkeypatch.setenv("CEZSAR_HOME", str(small_demo[0]))
    return small_demo[0]
