"""Extraction with stand-in decoders and encoders: order, failures, resuming, killing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cezsar.data import extraction
from cezsar.data.extraction import ExtractionReport, extract
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.manifest import Clip
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, InputError, MismatchError, MissingWeightsError, VideoError
from cezsar.video import Frame, Limits, Sampling


class Encoder:
    """Mean and deviation of each frame, in the parent process."""

    name, dim, sampling, fingerprint, domain = "toy", 2, Sampling(), "e" * 64, "numbers"
    in_decoder = False
    object_head: LinearHead | None = None

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        return np.array([[frame.image.mean(), frame.image.std()] for frame in frames], dtype=np.float32)


class StandInDecoder:
    """Frames made from the number in the file's name; odd names fail in various ways."""

    open = 0
    reading = None

    def __init__(self, limits: Limits) -> None:
        self.owner: int | None = None

    def __enter__(self) -> StandInDecoder:
        StandInDecoder.open += 1
        return self

    def __exit__(self, *error: object) -> None:
        StandInDecoder.open -= 1

    def frames(self, path: Path, sampling: Sampling) -> Iterator[Frame]:
        assert self.owner is None, "a decoder was used by two threads at once"
        self.owner = threading.get_ident()
        try:
            if "broken" in path.name:
                raise VideoError(f"{path}: it is damaged")
            if "fatal" in path.name:
                raise MissingWeightsError("no weights")
            number = int(path.stem)
            time.sleep(0.002 * (number % 3))  # so that clips finish out of order
            for second in range(1 + number % 4):
                image = np.full((2, 2, 3), number, np.uint8)
                image[0] = second
                yield Frame(second, image)
        finally:
            self.owner = None

    def run(self, path: Path, sampling: Sampling, work: object) -> np.ndarray:
        return work(self.frames(path, sampling))  # type: ignore[operator]  # as given to the real one


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(extraction, "Decoder", StandInDecoder)
    yield
    assert StandInDecoder.open == 0, "a decoder was left open"


def clips(*names: str) -> list[Clip]:
    return [Clip(Path(f"/clips/{name}.mp4"), f"id {name}", "even" if name.isdigit() else "") for name in names]


NUMBERS = [f"{i:03d}" for i in range(40)]


def expected(number: int) -> np.ndarray:
    rows = []
    for second in range(1 + number % 4):
        values = [second] * 6 + [number] * 6
        mean = sum(values) / 12
        rows.append([mean, (sum((value - mean) ** 2 for value in values) / 12) ** 0.5])
    return np.array(rows).astype(np.float32).astype(np.float16)


@pytest.mark.usefixtures("stand_in")
def test_stores_every_clip_in_the_order_given_whatever_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, prints = clips(*reversed(NUMBERS)), set()
    for number, (workers, in_decoder, shard_videos, flush_s) in enumerate(
        [(1, False, 7, 60.0), (3, False, 5, 60.0), (1, True, 256, 0.0), (3, True, 7, 60.0)]
    ):
        monkeypatch.setattr(Encoder, "in_decoder", in_decoder)
        folder = tmp_path / str(number)
        report = extract(given, Encoder(), folder, workers=workers, shard_videos=shard_videos, flush_s=flush_s)
        store = FeatureStore(folder)
        assert report == ExtractionReport(40, 0, []) and store.ids == [clip.id for clip in given]
        for clip in given:
            np.testing.assert_allclose(store.features(clip.id), expected(int(clip.path.stem)), rtol=1e-3)
            assert store.labels[clip.id] == "even" and store.paths[clip.id] == str(clip.path)
        assert store.provenance["encoder"] == "toy" and store.provenance["fps"] == 1.0
        prints.add(store.fingerprint)
    assert len(prints) == 1


@pytest.mark.usefixtures("stand_in")
def test_broken_clips_are_reported_and_tried_again(tmp_path: Path) -> None:
    given = [*clips("001", "broken", "002"), Clip(Path("/clips/x.mp4"), "not a number"), *clips("003")]
    seen: list[tuple[int, int, int]] = []
    report = extract(given, Encoder(), tmp_path, workers=2, on_progress=lambda *counts: seen.append(counts))
    assert (report.done, report.skipped) == (3, 0)
    assert [(failure.id, failure.path) for failure in report.failed] == [
        ("id broken", "/clips/broken.mp4"),
        ("not a number", "/clips/x.mp4"),
    ]
    assert "it is damaged" in report.failed[0].reason and report.failed[1].reason.startswith("ValueError: invalid lit")
    assert seen == [(1, 5, 0), (1, 5, 1), (2, 5, 1), (2, 5, 2), (3, 5, 2)]
    assert [entry["id"] for entry in json.loads((tmp_path / "failed.json").read_text())["failed"]] == [
        "id broken",
        "not a number",
    ]
    seen.clear()
    given[1] = Clip(Path("/clips/009.mp4"), "id broken")
    report = extract(given, Encoder(), tmp_path, on_progress=lambda *counts: seen.append(counts))
    assert (report.done, report.skipped, [failure.id for failure in report.failed]) == (1, 3, ["not a number"])
    assert seen == [(4, 5, 0), (4, 5, 1)]
    assert FeatureStore(tmp_path).ids == ["id 001", "id 002", "id 003", "id broken"]


class Bad(Encoder):
    """An encoder that gives unusable features for clips with an odd number."""

    def __init__(self, features: np.ndarray, head: LinearHead | None = None) -> None:
        self.features, self.object_head = features, head

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        number = int(np.mean([frame.image[-1].mean() for frame in frames]))
        return self.features if number % 2 else np.ones((1, 2), np.float32)


HEAD = LinearHead(["ball", "rope", "hat"], ["round", "long", "worn"], np.array([[1, 0], [0, 1], [1, 1]]))


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("head", [None, HEAD])
@pytest.mark.parametrize(
    "features", [np.full((1, 2), np.nan), np.full((1, 2), 1e9), np.ones((1, 3)), np.ones((0, 2)), np.ones(2)]
)
def test_unusable_features_are_failures_of_their_clip(
    tmp_path: Path, features: np.ndarray, head: LinearHead | None
) -> None:
    report = extract(clips("001", "002", "003"), Bad(features, head), tmp_path)
    assert report.done == 1 and [failure.id for failure in report.failed] == ["id 001", "id 003"]


@pytest.mark.usefixtures("stand_in")
def test_objects_can_be_computed_again_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "object_head", HEAD)
    extract(clips("001", "002"), Encoder(), tmp_path / "a", objects_k=2)
    store = FeatureStore(tmp_path / "a")
    assert store.vocabulary is not None and store.vocabulary.names == HEAD.names
    assert store.provenance["object_head_fingerprint"] == HEAD.fingerprint
    for id in store.ids:
        logits = HEAD.logits(store.features(id)).mean(axis=0).astype(float)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        indices, kept = store.objects(id)  # type: ignore[misc]  # it has objects
        assert indices.tolist() == np.argsort(-probabilities)[:2].tolist()
        np.testing.assert_allclose(kept, np.sort(probabilities)[::-1][:2], rtol=1e-5)
    extract(clips("001"), Encoder(), tmp_path / "b", objects_k=0)
    assert FeatureStore(tmp_path / "b").objects("id 001") is None


@pytest.mark.usefixtures("stand_in")
def test_what_is_refused(tmp_path: Path) -> None:
    report = extract(clips("001", "001"), Encoder(), tmp_path)
    assert report.done == 1 and "ids must be unique" in report.failed[0].reason
    with pytest.raises(MismatchError, match=r"'id 001' as 'even', the source says 'odd'"):
        extract([Clip(Path("/clips/001.mp4"), "id 001", "odd")], Encoder(), tmp_path)
    other = Encoder()
    other.name, other.fingerprint = "other", "0" * 64
    with pytest.raises(MismatchError, match=r"encoder toy.*not other"):
        extract(clips("002"), other, tmp_path)
    with StoreWriter(tmp_path, extraction.provenance(Encoder())), pytest.raises(InputError, match="another process"):
        extract(clips("002"), Encoder(), tmp_path)
    assert extract([], Encoder(), tmp_path) == ExtractionReport(0, 0, [])


@pytest.mark.usefixtures("stand_in")
def test_what_concerns_all_clips_stops_and_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError):
        extract(clips("001", "fatal", "002"), Encoder(), tmp_path / "a")

    def interrupt(done: int, total: int, failed: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(clips(*NUMBERS), Encoder(), tmp_path / "b", workers=2, on_progress=interrupt)
    assert FeatureStore(tmp_path / "b").ids == [f"id {name}" for name in NUMBERS[:5]]


def test_decoders_go_ahead_while_one_clip_is_encoded() -> None:
    decoded = threading.Event()

    class Decoder(StandInDecoder):
        def frames(self, path: Path, sampling: Sampling) -> Iterator[Frame]:
            yield from super().frames(path, sampling)
            if path.stem == "002":
                decoded.set()

    class Waiting(Encoder):
        busy = 0

        def encode(self, frames: Iterable[Frame]) -> np.ndarray:
            Waiting.busy += 1
            assert Waiting.busy == 1, "two clips were encoded at once"
            assert decoded.wait(10), "the second clip was not decoded while the first was encoded"
            made = super().encode(frames)
            Waiting.busy -= 1
            return made

    turn = threading.Lock()
    results: list[np.ndarray] = []

    def work(name: str) -> None:
        results.append(extraction._features(clips(name)[0], Waiting(), Decoder(Limits()), turn)[0])  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("001", "002")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, results)) == [2, 3]


SLOW = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    import numpy as np
    from cezsar.data import extraction
    from cezsar.data.manifest import Clip
    from cezsar.video import Frame, Sampling

    class Decoder:
        reading = None
        def __init__(self, limits): pass
        def __enter__(self): return self
        def __exit__(self, *error): pass
        def frames(self, path, sampling):
            number = int(path.stem)
            if number % 10 == 7:
                from cezsar.errors import VideoError
                raise VideoError("damaged")
            time.sleep(float(sys.argv[2]) * (0.5 + number % 3))
            for second in range(1 + number % 5):
                yield Frame(second, np.full((1, 1, 3), number * 5 + second))

    class Encoder:
        name, dim, sampling, fingerprint, domain = "slow", 64, Sampling(), "s" * 64, ""
        in_decoder, object_head = False, None
        def encode(self, frames):
            return np.stack([np.random.default_rng(int(f.image[0, 0, 0])).normal(size=64) for f in frames])

    extraction.Decoder = Decoder
    clips = [Clip(Path(f"/clips/{i}.mp4"), f"c{i}") for i in range(60)]
    print("begun", flush=True)
    extraction.extract(clips, Encoder(), sys.argv[1], workers=2, shard_videos=4)
    """
)


def start(folder: Path, pause_s: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), str(pause_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def test_kill_9_at_random_moments_then_resume(tmp_path: Path) -> None:
    kills = 3
    whole = start(tmp_path / "whole", 0)
    assert whole.wait(60) == 0, whole.communicate()[1]
    rng = np.random.default_rng(kills)
    for _ in range(kills):
        process = start(tmp_path / "killed", 0.02 * kills)  # slow enough that every kill finds it at work
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if (tmp_path / "killed/shard-00000.h5").exists():
        FeatureStore(tmp_path / "killed")  # what is there is whole, at any moment
    resumed = start(tmp_path / "killed", 0)
    assert resumed.wait(60) == 0, resumed.communicate()[1]
    one, other = FeatureStore(tmp_path / "whole"), FeatureStore(tmp_path / "killed")
    assert one.ids == other.ids and len(one) == 54 and one.fingerprint == other.fingerprint
    for id in one.ids:
        assert one.features(id).tobytes() == other.features(id).tobytes()
    assert not list((tmp_path / "killed").glob(".tmp-shard*"))
    contents = []
    for folder in (tmp_path / "whole", tmp_path / "killed"):
        assert len(json.loads((folder / "failed.json").read_text())["failed"]) == 6
        contents.append({path.name: path.read_bytes() for path in folder.glob("shard-*.h5")})
    assert contents[0] == contents[1]


def write_film(path: Path, colour: tuple[int, int, int], frames: int = 12) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (32, 32))
    for _ in range(frames):
        writer.write(np.full((32, 32, 3), colour[::-1], np.uint8))
    writer.release()
    return path


class Colour(Encoder):
    dim = 3

    def __init__(self, in_decoder: bool) -> None:
        self.in_decoder = in_decoder

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        return np.array([[frame.image[..., c].mean() for c in range(3)] for frame in frames], dtype=np.float32)


@pytest.mark.parametrize("in_decoder", [False, True])
def test_real_files_through_the_real_decoder(tmp_path: Path, in_decoder: bool) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_film(folder / "red.avi", (200, 0, 0))
    (folder / "text.mp4").write_text("this is no video\n")
    (folder / "empty.mp4").write_bytes(b"")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.avi"))
    odd.write_bytes((folder / "red.avi").read_bytes())
    given = [Clip(path, path.stem) for path in (folder / "red.avi", folder / "text.mp4", folder / "empty.mp4")]
    given += [Clip(odd, "cafe"), Clip(folder / "none.mp4", "none")]
    report = extract(given, Colour(in_decoder), tmp_path / "store", workers=2, limits=Limits(time_s=30))
    assert (report.done, [failure.id for failure in report.failed]) == (2, ["text", "empty", "none"])
    store = FeatureStore(tmp_path / "store")
    for id in ("red", "cafe"):
        assert store.features(id).shape == (3, 3)
        np.testing.assert_allclose(store.features(id), [[200, 0, 0]] * 3, atol=3)
    with pytest.raises(CezsarError):
        store.features("text")


def test_what_can_be_read_of_a_damaged_clip_is_stored_and_listed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "cut.avi", (200, 0, 0), frames=50)
    (tmp_path / "whole.avi").write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    given = [Clip(path, "cut"), Clip(tmp_path / "whole.avi", "whole")]
    report = extract(given, Encoder(), tmp_path / "store")
    assert (report.done, report.failed, [clip.id for clip in report.partly]) == (2, [], ["cut"])
    assert report.partly[0].reason.startswith("it is cut off: ")
    assert len(FeatureStore(tmp_path / "store").features("cut")) < 10
    assert extract(given, Encoder(), tmp_path / "store").partly == []  # there already, and still listed
    listed = json.loads((tmp_path / "store/failed.json").read_text())
    assert listed == {"failed": [], "read in part": [report.partly[0]._asdict()]}


def test_a_film_replaced_under_the_same_name_is_read_anew(tmp_path: Path) -> None:
    given = [Clip(write_film(tmp_path / f"{id}.avi", (200, 0, 0)), id, "jump") for id in ("a", "b", "c")]
    assert extract(given, Colour(False), tmp_path / "store", shard_videos=2).done == 3
    write_film(tmp_path / "b.avi", (0, 0, 200), frames=6)
    (tmp_path / "c.avi").write_text("no film any more")
    report = extract(given, Colour(False), tmp_path / "store")
    assert (report.done, report.skipped, len(report.failed), report.changed) == (1, 1, 1, 2)
    store = FeatureStore(tmp_path / "store")
    assert sorted(store.ids) == ["a", "b"]
    np.testing.assert_allclose(store.features("b"), [[0, 0, 200]] * 2, atol=3)
    np.testing.assert_allclose(store.features("a"), [[200, 0, 0]] * 3, atol=3)
    assert extract(given[:2], Colour(False), tmp_path / "store") == ExtractionReport(0, 2, [])
