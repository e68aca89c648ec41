"""`cezsar fetch` against a stand-in of the hub, and without a network."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub.hf_api import RepoSibling

from cezsar import encoders
from cezsar.encoders.weight_files import needed

SHA = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "sentence-transformers/tiny-clip"


class Hub(BaseHTTPRequestHandler):
    """One repository, as the hub serves it: a listing, and files in ranges. The `stuck` one stops once, half-way."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        place, served = self.path.split("?")[0], self.server
        if place == f"/api/models/{REPOSITORY}":
            siblings = [{"rfilename": name, "size": len(content)} for name, content in served.files.items()]
            for one in siblings:
                if one["rfilename"].endswith("safetensors"):
                    one["lfs"] = {"sha256": served.sums[one["rfilename"]], "size": one["size"], "pointerSize": 100}
            return self.send(
                json.dumps(
                    {
                        "id": REPOSITORY,
                        "sha": SHA,
                        "siblings": siblings,
                        "cardData": {"license": "apache-2.0"},
                    }
                ).encode(),
                {},
                body,
            )
        name = place.removeprefix(f"/{REPOSITORY}/resolve/{SHA}/")
        if name not in served.files:
            return self.send(b"", {"X-Error-Code": "RepoNotFound"}, body, 404)
        content, wanted = served.files[name], self.headers.get("Range", "")
        headers = {"ETag": f'"{served.sums[name]}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        if body:
            served.asked.append((name, wanted))
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.send(content[start:], headers, body, 206)
        half = body and name == served.stuck
        self.send(content, headers, body, most=len(content) // 2 if half else None)
        if half:
            served.freed.wait(30)
            served.stuck = ""
        return None

    def send(self, content, headers, body, status=200, most=None):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:most])


@pytest.fixture
def hub(clip_folder):
    files = {str(path.relative_to(clip_folder)): path.read_bytes() for path in clip_folder.rglob("*") if path.is_file()}
    model = next(name for name in files if name.endswith("model.safetensors"))
    extra = [model.replace("model.safetensors", "pytorch_model.bin"), "onnx/model.onnx", "picture.png"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.files = files | dict.fromkeys(extra, b"not needed")
        server.sums = {name: hashlib.sha256(content).hexdigest() for name, content in server.files.items()}
        server.asked, server.model, server.needed, server.freed = [], model, set(files), threading.Event()
        server.stuck = ""
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


@pytest.fixture
def fetch(tmp_path):
    """Run `cezsar fetch` as a process of its own, with a hub: (status, standard output, standard error)."""

    def run(name, url):
        own = {"CEZSAR_HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0"}
        command, pipe = [sys.executable, "-m", "cezsar", "fetch", name], subprocess.PIPE
        process = subprocess.Popen(command, env=os.environ | own, stdout=pipe, stderr=pipe, text=True)
        run.running.append(process)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err

    run.running = []
    return run


def test_an_encoder_is_fetched_and_can_be_used(hub, fetch, tmp_path, monkeypatch, clip_folder):
    status, out, err = fetch("clip:tiny-clip", hub.url)
    folder = tmp_path / "models" / "tiny-clip"
    assert status == 0 and out.strip().endswith(str(folder)), err
    assert out.startswith("clip:tiny-clip: the licence of its weights is apache-2.0\n")
    total = sum(len(hub.files[name]) for name in hub.needed if not name.endswith((".md", ".gitattributes")))
    assert f"{total:,} of {total:,}" in err
    assert {name for name, _ in hub.asked} <= hub.needed
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny-clip"]
    assert (folder / hub.model).read_bytes() == hub.files[hub.model]
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    assert encoders.located("clip:tiny-clip") == folder
    assert encoders.create("clip:tiny-clip").fingerprint == encoders.create(f"clip:{clip_folder}").fingerprint
    asked = len(hub.asked)
    assert "here already" in fetch("clip:tiny-clip", hub.url)[1] and len(hub.asked) == asked


def test_what_was_killed_goes_on_in_the_middle_of_the_file(hub, fetch, tmp_path):
    def kept():
        parts = (tmp_path / "models").glob(f".fetching-tiny-clip-*/**/{big}.part")
        return max((path.stat().st_size for path in parts), default=0)

    hub.stuck = big = "1_Dense/model.safetensors"
    hub.files[big] = bytes(24_000_000)
    hub.sums[big] = hashlib.sha256(hub.files[big]).hexdigest()
    first = threading.Thread(target=fetch, args=("clip:tiny-clip", hub.url))
    first.start()
    end = time.monotonic() + 30
    while not kept() and time.monotonic() < end:
        time.sleep(0.05)
    assert kept() and not (tmp_path / "models" / "tiny-clip").exists()
    fetch.running[0].kill()
    first.join()
    size = kept()
    hub.freed.set()
    status, _, err = fetch("clip:tiny-clip", hub.url)
    assert status == 0 and (big, f"bytes={size}-") in hub.asked, err
    assert (tmp_path / "models" / "tiny-clip" / big).read_bytes() == hub.files[big]


def test_altered_content_is_refused_and_nothing_appears(hub, fetch, tmp_path):
    hub.files[hub.model] = hub.files[hub.model][:-1] + b"?"
    status, _, err = fetch("clip:tiny-clip", hub.url)
    assert status == 2 and "did not arrive as the hub has it" in err
    assert not (tmp_path / "models" / "tiny-clip").exists()
    hub.files[hub.model] = hub.files[hub.model][:-1] + b"!"
    hub.sums[hub.model] = hashlib.sha256(hub.files[hub.model]).hexdigest()
    assert fetch("clip:tiny-clip", hub.url)[0] == 0


def test_no_network_says_what_was_wanted_and_where_to_put_it(fetch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    status, _, err = fetch("clip:clip-ViT-B-32", url)
    place = f"copy models/clip-ViT-B-32 of its workspace to {tmp_path / 'models' / 'clip-ViT-B-32'}"
    for said in ("clip-ViT-B-32 (0.6 GB)", "no network", f"{url}/sentence-transformers/clip-ViT-B-32", place):
        assert said in err
    assert status == 2 and not (tmp_path / "models").exists()


def test_names_that_cannot_be_fetched(hub, fetch, tmp_path):
    for name, status, said in (
        ("motion", 2, "nothing to fetch"), ("minilm", 0, "here already"), ("clip:no-such-model", 2, "404"),
        ("clip:../../etc/no such", 2, "no model on the hub can have that name"),
    ):  # fmt: skip
        found, *told = fetch(name, hub.url)
        assert said in "".join(told) and found == status and not (tmp_path / "models").exists()


def test_of_each_model_the_weights_are_fetched_once_and_in_the_form_that_is_asked_for():
    both = ["open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors"]
    names = [
        "modules.json", "0_CLIPModel/model.safetensors", "0_CLIPModel/pytorch_model.bin", "1_Dense/pytorch_model.bin",
        "0_CLIPModel/vocab.json", "0_CLIPModel/merges.txt", "onnx/model.safetensors", "tf_model.h5", "README.md",
        "0_CLIPModel/openvino/config.json",
    ]  # fmt: skip
    for given, open_clip, kept in (
        (both, True, both[:2]), (both, False, [both[0], both[3]]), (both[:2], False, both[:2]),
        (names, False, [names[0], names[1], *names[3:6]]),
    ):  # fmt: skip
        assert [file.rfilename for file in needed([RepoSibling(name) for name in given], open_clip)] == kept
