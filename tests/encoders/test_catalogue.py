"""What the encoders' list says, without a model, a network or a heavy import."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cezsar import encoders
from cezsar.encoders import fetching, weight_files
from cezsar.errors import MissingWeightsError


def test_embedded_encoders_are_present_and_the_others_say_how_to_get_them(tmp_path: Path) -> None:
    status = {entry.name: entry for entry in encoders.available()}
    assert set(status) == set(encoders.CARDS)
    assert status["motion"].present and status["minilm"].present and status["minilm"].needs == ""
    for name in ("bit", "bit-released", "clip:clip-ViT-B-32", "distilroberta"):
        assert not status[name].present and "GB" in status[name].size
        assert status[name].needs == f"cezsar fetch {name}" and status[name].where.startswith(str(tmp_path / "home"))
    assert encoders.card(encoders.FOR_REAL_VIDEO).command == "cezsar fetch open_clip:PE-Core-B-16"


def test_a_fetched_model_is_found_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--sentence-transformers--clip-ViT-B-32"
    snapshot = model / "snapshots" / "abc"
    (snapshot / "0_CLIPModel").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    (snapshot / "modules.json").write_text("[]")
    assert not encoders.present("clip:clip-ViT-B-32")  # the weights are still to come
    (snapshot / "0_CLIPModel" / "pytorch_model.bin").write_bytes(b"")
    assert encoders.present("clip:clip-ViT-B-32") and encoders.located("clip:clip-ViT-B-32") == snapshot


def test_the_folder_of_the_models_may_bear_the_encoders_name(tmp_path: Path) -> None:
    (tmp_path / "home" / "models" / "bit").mkdir(parents=True)
    assert not encoders.present("bit")  # an empty folder is not weights
    (tmp_path / "home" / "models" / "bit" / "model.safetensors").write_bytes(b"")
    assert encoders.present("bit") and encoders.present("bit-released")


def test_cards_of_other_names() -> None:
    assert encoders.card("timm:resnet18.a1_in1k").command == "cezsar fetch timm:resnet18.a1_in1k"
    assert encoders.card("clip:org/model").command == "cezsar fetch clip:org/model"
    assert encoders.card("open_clip:org/model").command == "cezsar fetch open_clip:org/model"
    assert encoders.card("video:org/model").command == "cezsar fetch video:org/model"
    assert encoders.card("all-mpnet-base-v2").command == "cezsar fetch all-mpnet-base-v2"


def test_the_best_encoder_for_real_video_that_is_here_is_taken(tmp_path: Path) -> None:
    """From the last resort to the first choice, each put there in turn."""
    assert encoders.for_real_video() is None
    for name in (
        "bit", "open_clip:MobileCLIP2-S0", "open_clip:PE-Core-T-16-384", "clip:clip-ViT-B-32",
        "open_clip:PE-Core-S-16-384", "open_clip:PE-Core-B-16", "video:microsoft/xclip-base-patch16-zero-shot",
        "video:google/videoprism-lvt-base-f16r288",
    ):  # fmt: skip
        folder = tmp_path / "home" / "models" / encoders.card(name).repository.rpartition("/")[2]
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"")
        assert encoders.for_real_video() == name


def test_facts_are_told_as_far_as_they_are_known() -> None:
    best = encoders.card(encoders.FOR_REAL_VIDEO)
    for part in (
        "licence Apache-2.0",
        "65.6% top-1 on Kinetics-400, zero-shot (Bolya et al. 2025",
        "ms of a CPU core for a second",
    ):
        assert part in best.facts
    assert encoders.card("open_clip:MobileCLIP2-S0").licence == "Apple, research only"
    assert encoders.card("motion").facts == encoders.card("clip:org/model").facts == ""


def test_weights_files_are_chosen_in_order(tmp_path: Path) -> None:
    assert weight_files.weights_file(tmp_path) is None and weight_files.weights_file(tmp_path / "absent") is None
    for name in ("z.pth", "pytorch_model.bin", "a.safetensors", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
        found = weight_files.weights_file(tmp_path)
        assert found is not None and found.name == ("z.pth" if name == "pytorch_model.bin" else name)


@pytest.mark.parametrize(
    "name",
    [
        "clip:/no/such/folder",
        "clip:a b",
        "open_clip:none",
        "open_clip:/no/such",
        "video:none",
        "/no/such",
        "timm:/no/such",
        "timm:none",
        "x/y/z",
    ],
)
def test_names_that_cannot_be_are_absent(name: str) -> None:
    assert not encoders.present(name)


def test_the_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    assert not fetching.hub_reachable()
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # answers 501 to all
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    assert fetching.hub_reachable()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["bit", "clip:clip-ViT-B-32"])
def test_a_download_that_fails_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "hub_reachable", lambda: True)
    with pytest.raises(MissingWeightsError, match=rf"could not be fetched: .*cezsar fetch {name}\."):
        encoders.create(name)


def test_looking_is_light() -> None:
    code = (
        "import sys; from cezsar import encoders; encoders.present('bit'); encoders.available();"
        "print([m for m in ('torch', 'timm', 'transformers', 'sentence_transformers', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
