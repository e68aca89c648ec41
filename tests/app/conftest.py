"""A workspace with a tiny run: real encoders, random weights, three drawn clips; and pages opened without a browser."""

import base64
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from streamlit import config
from streamlit.testing.v1 import AppTest

import cezsar
from app.parts import models
from cezsar import jobs
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.data.descriptions import save_descriptions
from cezsar.encoders import load_sentence_encoder
from cezsar.encoders.motion import MotionEncoder
from cezsar.encoders.objects import LinearHead
from cezsar.model import CEZSAR
from cezsar.training.runs import OodDistance, Run, RunConfig
from cezsar.video import Decoder
from cezsar.world import DESCRIPTIONS, OBJECTS, plan_clips, unseen_actions, video_path, write_video
from cezsar.zeroshot.scored import Scored

ENTRY = Path(__file__).resolve().parents[2] / "app" / "main.py"
config._main_script_path = str(ENTRY)  # so that app/.streamlit/config.toml is read, as it is by `cezsar app`
ACTIONS = unseen_actions()[:3]


def open_page(name="classify", **query):
    """A page of the app, through its entry, as a browser would open it with this query in the address."""
    page = AppTest.from_file(str(ENTRY), default_timeout=60)
    for key, value in query.items():
        page.query_params[key] = value
    if name != "classify":  # which is the one that opens by itself
        page.switch_page(f"../pages/{name}.py")
    return page.run()


def fine(page):
    """The page, if nothing on it went wrong."""
    assert not page.exception and not page.error, (page.exception, [error.value for error in page.error])
    return page


def texts(page):
    """All it says, without backslashes and colours."""
    kinds = ("markdown", "subheader", "caption", "warning", "info", "error", "success")
    said = " ".join(str(element.value) for kind in kinds for element in page.get(kind))
    return re.sub(r":gray\[(.*?)\]", r"\1", said.replace("\\", "")).replace("\N{NO-BREAK SPACE}", " ")


def metrics(page):
    """Label -> (value, delta); where labels come again, the first."""
    return {metric.label: (metric.value, metric.delta) for metric in reversed(page.metric)}


def charts(page):
    """The figures as they are sent to the browser."""
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def numbers(values):
    """An array of a figure, however it travels."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


def button(page, label):
    return next(each for each in page.button if each.label == label)


def press(page, label):
    """The page after a click on the button."""
    return button(page, label).click().run()


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def demo():
    """The shipped demo's scored set."""
    return Scored.open(models.SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="session")
def scores(demo):
    return demo.scores()


@pytest.fixture
def started(monkeypatch):
    """Jobs that would have been started."""
    asked = []

    def start(kind, title, steps, *, about=None, **more):
        asked.append(SimpleNamespace(kind=kind, title=title, steps=steps, about=about))

    monkeypatch.setattr(jobs, "start", start)
    return asked


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Sample clips as the demo lays them out, and where."""
    folder = tmp_path_factory.mktemp("world")
    paths = []
    for plan in plan_clips(5, ACTIONS, 1):
        path = video_path(folder, plan)
        path.parent.mkdir(parents=True)
        write_video(plan, path)
        paths.append(path)
    return folder, paths


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory, clips):
    home = tmp_path_factory.mktemp("workspace")
    world, paths = clips
    (home / "demo").symlink_to(world)
    encoder, sentences = MotionEncoder(), load_sentence_encoder("minilm")
    with Decoder() as decoder:
        features = np.array([decoder.run(path, encoder.sampling, encoder.encode).mean(0) for path in paths])
    names = [{"name": one.name, "fingerprint": one.fingerprint} for one in (encoder, sentences)]
    model = ModelConfig(encoder.dim, sentences.dim, d_model=16, d_emb=8, ffn=16)
    run = Run.create(home / "runs" / "demo", RunConfig(model, TrainingConfig(), *names, domain="three drawn clips"))
    torch.manual_seed(0)
    run.save_model(CEZSAR(model))
    around = np.concatenate([0.9 * features, features, 1.1 * features])
    OodDistance.fit(around, np.random.default_rng(0)).save(run.folder / "domain.safetensors")
    save_descriptions(run.folder / "prototypes.json", {action.name: [DESCRIPTIONS[action.name]] for action in ACTIONS})
    weight = np.random.default_rng(0).normal(size=(len(OBJECTS), encoder.dim)).astype(np.float32)
    head = LinearHead(list(OBJECTS), list(OBJECTS.values()), weight, np.zeros(len(OBJECTS), np.float32))
    head.save(run.folder / "objects.safetensors")
    return home


@pytest.fixture
def workspace(tiny_workspace, monkeypatch):
    """The workspace with the tiny run is the one in use."""
    monkeypatch.setenv("CEZSAR_HOME", str(tiny_workspace))
    return tiny_workspace


@pytest.fixture
def empty_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    """No run and no scores come along."""
    for module in ("models", "scored"):
        monkeypatch.setattr(f"app.parts.{module}.SHIPPED", tmp_path / "not shipped")


@pytest.fixture
def fake_command(empty_workspace, monkeypatch):
    """Puts a script in place of `cezsar`, which jobs run; what is left running is stopped."""
    fake = empty_workspace / "elsewhere" / "cezsar"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(f"__path__.append({cezsar.__path__[0]!r})")
    monkeypatch.chdir(fake.parent)
    monkeypatch.setattr(jobs, "_ROOT", fake.parent)
    yield (fake / "__main__.py").write_text
    for job in jobs.jobs():
        if job.alive:
            jobs.cancel(job.id)
