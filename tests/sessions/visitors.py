"""The app as people meet it, a server of its own; and people at it without browsers, by Streamlit's own protocol."""

import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qs

import requests
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Common_pb2 import DoubleArray, FileUploaderState, FileURLsRequest, UploadedFileInfo
from streamlit.proto.Exception_pb2 import Exception as ExceptionMessage
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.sync.client import connect

from cezsar.world import plan_clips, unseen_actions, write_video
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.weights import outcome

ROOT = Path(__file__).resolve().parents[2]
DEMO, PHOTOGRAPHS = ROOT / "assets" / "demo", ROOT / "assets" / "photographs"
MODELS = ("demo", "photographs")
VERBS, THINGS = ("throwing", "painting", "lifting", "cutting"), ("ball", "wall", "box", "tree", "rope")
PATIENCE_S = 120
THINKS_S = (1, 5)  # between an answer and the next question


class Server:
    """What `cezsar app` starts, on a port of its own, with a workspace of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home, self.options = home, options
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        (self.home / "tmp").mkdir(exist_ok=True)
        command = [sys.executable, ROOT / "app" / "start.py", "--server.port", str(self.port), *self.options]
        self.log = (self.home / "server.txt").open("ab")
        self.process = subprocess.Popen(
            [*command, "--server.fileWatcherType", "none"],
            cwd=ROOT,
            env=os.environ | {"CEZSAR_HOME": str(self.home), "TMPDIR": str(self.home / "tmp")},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.url}/_stcore/health", timeout=2)
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(self.said()[-3000:])

    def said(self) -> str:
        return (self.home / "server.txt").read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def memory(self) -> float:
        """Resident memory in MB, with that of all processes which it started."""
        found, pids = 0.0, [self.process.pid]
        for pid in pids:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += map(int, (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            found += sum(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
        return found

    def held(self) -> dict[str, float]:
        """What Streamlit says it holds, by name and kind, such as uploads and sessions."""
        lines = requests.get(f"{self.url}/_stcore/metrics", timeout=10).text.splitlines()
        return {
            key: float(value) for key, value in (line.rsplit(" ", 1) for line in lines if line[:1] not in ("#", ""))
        }


class Visitor(ExitStack):
    """One page in one browser: sends what its widgets say, and takes what the server answers."""

    def __init__(self, server: Server, query: str = "", resume: str = "") -> None:
        super().__init__()
        self.url, self.query = server.url, query
        self.token = requests.get(f"{self.url}/_stcore/health", timeout=PATIENCE_S).cookies["_streamlit_xsrf"]
        self.cookie = {"Cookie": f"_streamlit_xsrf={self.token}"}
        answered = connect(
            f"{self.url.replace('http', 'ws')}/_stcore/stream",
            subprotocols=["streamlit", self.token, *filter(None, [resume])],
            additional_headers=self.cookie,
            max_size=None,
            open_timeout=PATIENCE_S,
        )
        self.socket = self.enter_context(answered)
        self.page, self.session = "", ""
        self.pages: dict[str, str] = {}  # name in the address -> what Streamlit calls it
        self.widgets: dict[str, WidgetState] = {}  # key -> what was chosen
        self.ids: dict[str, tuple[str, str]] = {}  # key -> id of its widget, and of the fragment that it stands in
        self.raw = b""  # all that was answered to the last question

    def send(self, **what: object) -> None:
        self.socket.send(BackMsg(**what).SerializeToString())

    def ask(self, fragment: str = "") -> None:
        """Let the page run anew, without waiting for it."""
        for key, chosen in self.widgets.items():
            chosen.id = self.ids[key][0]
        states = WidgetStates(widgets=self.widgets.values())
        self.send(
            rerun_script=ClientState(
                query_string=self.query, widget_states=states, page_script_hash=self.page, fragment_id=fragment
            )
        )

    def run(self, fragment: str = "") -> list:
        """Let the page run anew: the elements that it then sent."""
        self.ask(fragment)
        return self.answer()

    def answer(self) -> list:
        elements, self.raw = [], b""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self.receive(deadline)
            match message.WhichOneof("type"):
                case "new_session":
                    self.page, self.session = (
                        message.new_session.page_script_hash,
                        message.new_session.initialize.session_id,
                    )
                case "navigation":
                    self.pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
                case "page_info_changed":
                    self.query = message.page_info_changed.query_string
                case "delta" if message.delta.HasField("new_element"):
                    element = message.delta.new_element
                    element = getattr(element, element.WhichOneof("type"))
                    elements.append(element)
                    if (name := getattr(element, "id", "")).startswith("$$ID-"):
                        self.ids[name.split("-", 2)[2]] = (name, message.delta.fragment_id)
                case "script_finished" if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    assert message.script_finished != ForwardMsg.FINISHED_WITH_COMPILE_ERROR
                    return elements

    def receive(self, deadline: float) -> ForwardMsg:
        data = self.socket.recv(max(0.0, deadline - time.monotonic()))
        self.raw += data
        return ForwardMsg.FromString(data)

    def choose(self, key: str, **value: object) -> None:
        """Set a widget that stands on the page; it is sent with the next question."""
        self.widgets[key] = WidgetState(id=self.ids[key][0], **value)

    def go(self, page: str, query: str = "") -> list:
        self.page, self.query = self.pages[page], query
        self.widgets.clear()
        return self.run()

    def upload(self, key: str, name: str, content: bytes) -> None:
        """Give a file to the uploader of that key, in place of those it had."""
        self.send(file_urls_request=FileURLsRequest(request_id="one", file_names=[name], session_id=self.session))
        deadline = time.monotonic() + PATIENCE_S
        while (message := self.receive(deadline)).WhichOneof("type") != "file_urls_response":
            pass
        (urls,) = message.file_urls_response.file_urls
        headers = self.cookie | {"X-Xsrftoken": self.token}
        sent = requests.put(
            self.url + urls.upload_url, files={"file": (name, content)}, headers=headers, timeout=PATIENCE_S
        )
        sent.raise_for_status()
        info = UploadedFileInfo(name=name, size=len(content), file_id=urls.file_id, file_urls=urls)
        self.choose(key, file_uploader_state_value=FileUploaderState(uploaded_file_info=[info]))


def draw_films(folder: Path) -> dict[str, bytes]:
    """A few seconds of the demo's world each, by name."""
    for number, plan in enumerate(plan_clips(11, unseen_actions()[:6], 1)):
        write_video(plan, folder / f"{number}.webm")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.webm"))}


class Answer(NamedTuple):
    visitor: str  # whose mark is in every label and name of a file of theirs
    asked: str  # "film", "labels", "weights" or "tuning"
    seconds: float
    said: dict[str, float]  # label -> similarity, of the best; or "Top-1" -> percent
    film: str
    model: str
    labels: tuple[str, ...]
    weight: float | None  # β of a film, α of the scored set; None for the model's own


class Crowd:
    """So many people for so many seconds, each with films, labels and weights of their own: they upload, rank and tune,
    come and go, also in the middle of something."""

    def __init__(self, server: Server, films: dict[str, bytes], people: int, seconds: float, seed: int) -> None:
        self.server, self.films = server, films
        self.answers: list[Answer] = []
        self.faults: list[str] = []
        self.memory: list[float] = []  # of the server in MB, once a second
        self.waited = 0  # answers before which a place in the line was shown
        self.end = time.monotonic() + seconds
        threads = [
            Thread(target=self.live, args=(f"visitor{n:02}", random.Random(f"{seed} {n}"))) for n in range(people)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.memory.append(server.memory())
            time.sleep(1)

    def live(self, mark: str, rng: random.Random) -> None:
        while time.monotonic() < self.end:
            try:
                with Visitor(self.server, f"model={rng.choice(MODELS)}") as guest:
                    self.visit(guest, mark, rng)
            except Exception as error:
                self.faults.append(f"{mark}: {type(error).__name__}: {error}")

    def visit(self, guest: Visitor, mark: str, rng: random.Random) -> None:
        """One session: some films, some tuning; one in ten leaves while a film is being read."""
        self.heard(guest, mark, guest.run())
        model = parse_qs(guest.query)["model"][0]
        weight = None  # as the page keeps it, also while another one is looked at
        while time.monotonic() < self.end:
            labels, film, leaves = self.labels(mark, rng), rng.choice(sorted(self.films)), rng.random() < 0.1
            for asked in ("film", "labels", "weights", "labels"):
                began = time.monotonic()
                if asked == "film":
                    guest.upload("uploads", f"{mark} {rng.random()}.webm", self.films[film])
                elif asked == "weights":
                    guest.choose("objects", double_array_value=DoubleArray(data=[weight := rng.randint(0, 20) / 20]))
                else:
                    labels = self.labels(mark, rng)
                guest.choose("labels", string_value=", ".join(labels))
                guest.ask()
                if leaves:
                    return time.sleep(rng.random())
                (chart,) = (one for one in self.heard(guest, mark) if getattr(one, "alt", "").startswith("Best labels"))
                by, _, told = chart.alt.removeprefix("Best labels by ").partition(": ")
                said = {name: float(value) for name, _, value in (one.rpartition(" ") for one in told.split(", "))}
                self.tell(Answer(mark, asked, time.monotonic() - began, said, film, by, labels, weight), rng)
                assert by == model
            self.heard(guest, mark, guest.go("tune"))
            for alpha in (rng.randint(0, 100) / 100 for _ in range(3)):
                began = time.monotonic()
                guest.choose("alpha", double_array_value=DoubleArray(data=[alpha]))
                guest.ask(fragment=guest.ids["alpha"][1])
                (top1,) = (one.body for one in self.heard(guest, mark) if getattr(one, "label", "") == "Top-1")
                said = {"Top-1": float(top1.removesuffix(" %"))}
                self.tell(Answer(mark, "tuning", time.monotonic() - began, said, "", "", (), alpha), rng)
            if rng.random() < 0.5:
                return None
            self.heard(guest, mark, guest.go("", f"model={model}"))
        return None

    def labels(self, mark: str, rng: random.Random) -> tuple[str, ...]:
        return tuple(f"{verb} a {thing} {mark}" for verb in rng.sample(VERBS, 2) for thing in rng.sample(THINGS, 3))

    def heard(self, guest: Visitor, mark: str, elements: list | None = None) -> list:
        """What a page answered, if it is no error and holds nothing of anybody else."""
        elements = guest.answer() if elements is None else elements
        wrong = [
            one for one in elements if isinstance(one, ExceptionMessage) or getattr(one, "format", 0) == Alert.ERROR
        ]
        assert not wrong, wrong
        others = set(re.findall(rb"visitor\d\d", guest.raw)) - {mark.encode()}
        assert not others, f"it was told of {others}"
        self.waited += b"before you" in guest.raw or b"you are next" in guest.raw
        return elements

    def tell(self, answer: Answer, rng: random.Random) -> None:
        self.answers.append(answer)
        time.sleep(min(rng.uniform(*THINKS_S), max(0.0, self.end - time.monotonic())))

    def wrong(self, folder: Path) -> list[str]:
        """Answers that differ from what the library, asked alone, says of that film, those labels and weights."""
        item, found = Scored.open(DEMO / "scores" / "demo@demo"), []
        with Classifier.of_run(DEMO / "runs" / "demo") as demo, Classifier.of_run(PHOTOGRAPHS) as photographs:
            by = {"demo": demo, "photographs": photographs}
            read = {(film, name): one.read(folder / film) for film in self.films for name, one in by.items()}
            for answer in self.answers:
                if answer.asked == "tuning":
                    own, alpha = item.weights, float(answer.weight or 0)
                    rest = {"beta": 1 - alpha} if len(item.scores().modalities) == 2 else {}
                    expected = {"Top-1": 100 * outcome(item.scores(), replace(own, alpha=alpha, **rest)).top1}
                else:
                    model = by[answer.model]
                    given = (
                        None if (beta := answer.weight) is None else replace(model.weights, alpha=1 - beta, beta=beta)
                    )
                    ranked = model.rank(read[answer.film, answer.model], answer.labels, top=6, weights=given).labels
                    expected = dict(ranked)
                most = max(abs(value - expected.get(name, math.inf)) for name, value in answer.said.items())
                if most > (0.051 if answer.asked == "tuning" else 0.0051):
                    found.append(f"{answer} and not {expected}")
        return found
