"""Extraction with stand-in decoders and encoders: order, failures, resuming."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from cezsar.data import extraction
from cezsar.data.extraction import ExtractionReport, extract
from cezsar.data.extraction_on_ray import extract_on_ray
from cezsar.data.features import FeatureStore
from cezsar.data.manifest import Clip
from cezsar.encoders.objects import LinearHead
from cezsar.errors import MismatchError, MissingWeightsError, VideoError
from cezsar.video import Frame, Limits, Reading, Sampling


class Encoder:
    """Mean and deviation of each frame, in the parent process."""

    name, dim, sampling, fingerprint, domain = "toy", 2, Sampling(), "e" * 64, "numbers"
    in_decoder, object_head = False, None

    def encode(self, frames):
        return np.array([[frame.image.mean(), frame.image.std()] for frame in frames], dtype=np.float32)


class StandInDecoder:
    """Frames made from the number in the file's name; odd names fail in various ways."""

    open, reading, pause_s = 0, None, 0.002

    def __init__(self, limits):
        self.owner = None

    def __enter__(self):
        StandInDecoder.open += 1
        return self

    def __exit__(self, *error):
        StandInDecoder.open -= 1

    def frames(self, path, sampling):
        assert self.owner is None, "a decoder was used by two threads at once"
        self.owner = threading.get_ident()
        try:
            if "broken" in path.name:
                raise VideoError(f"{path}: it is damaged")
            if "fatal" in path.name:
                raise MissingWeightsError("no weights")
            number = int(path.stem)
            time.sleep(self.pause_s * (number % 3))  # so that clips finish out of order
            for second in range(1 + number % 4):
                image = np.full((2, 2, 3), number, np.uint8)
                image[0] = second
                yield Frame(second, image)
        finally:
            self.owner = None

    def run(self, path, sampling, work):
        return work(self.frames(path, sampling))


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(extraction, "Decoder", StandInDecoder)
    yield
    assert StandInDecoder.open == 0, "a decoder was left open"


def clips(*names):
    return [Clip(Path(f"/clips/{name}.mp4"), f"id {name}", "even" if name.isdigit() else "") for name in names]


NUMBERS = [f"{i:03d}" for i in range(40)]


def expected(number):
    rows = []
    for second in range(1 + number % 4):
        values = [second] * 6 + [number] * 6
        mean = sum(values) / 12
        rows.append([mean, (sum((value - mean) ** 2 for value in values) / 12) ** 0.5])
    return np.array(rows).astype(np.float32).astype(np.float16)


@pytest.mark.usefixtures("stand_in")
def test_stores_every_clip_in_the_order_given_whatever_the_workers(tmp_path, monkeypatch):
    given, prints = clips(*reversed(NUMBERS)), set()
    for workers, in_decoder, shard_videos, flush_s in [
        (1, False, 7, 60.0), (3, False, 5, 60.0), (1, True, 256, 0.0), (3, True, 7, 60.0),
    ]:  # fmt: skip
        monkeypatch.setattr(Encoder, "in_decoder", in_decoder)
        folder = tmp_path / f"{workers}{in_decoder}"
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
def test_broken_clips_are_reported_and_tried_again(tmp_path):
    given = [*clips("001", "broken", "002"), Clip(Path("/clips/x.mp4"), "not a number"), *clips("003")]
    seen = []
    report = extract(given, Encoder(), tmp_path, workers=2, on_progress=lambda *counts: seen.append(counts))
    assert (report.done, report.skipped) == (3, 0)
    (one, path, damaged), (other, _, odd) = report.failed
    assert (one, path, other) == ("id broken", "/clips/broken.mp4", "not a number")
    assert "it is damaged" in damaged and odd.startswith("ValueError: invalid lit")
    assert seen == [(1, 5, 0), (1, 5, 1), (2, 5, 1), (2, 5, 2), (3, 5, 2)]
    listed = json.loads((tmp_path / "failed.json").read_text())["failed"]
    assert [entry["id"] for entry in listed] == [one, other]
    seen.clear()
    given[1] = Clip(Path("/clips/009.mp4"), "id broken")
    report = extract(given, Encoder(), tmp_path, on_progress=lambda *counts: seen.append(counts))
    assert (report.done, report.skipped, [failure.id for failure in report.failed]) == (1, 3, ["not a number"])
    assert seen == [(4, 5, 0), (4, 5, 1)]
    assert FeatureStore(tmp_path).ids == ["id 001", "id 002", "id 003", "id broken"]


@pytest.mark.usefixtures("stand_in")
def test_a_store_says_in_which_precisions_its_features_were_computed(tmp_path, monkeypatch):
    told = []
    for precision, names in (("bf16", "001"), ("bf16", "002"), ("fp32", "003")):
        monkeypatch.setattr(Encoder, "precision", precision, raising=False)
        report = extract(clips(names), Encoder(), tmp_path)
        told.append((report.precision, FeatureStore(tmp_path).provenance["precision"]))
    assert told == [("bf16", "bf16"), ("bf16", "bf16"), ("bf16 and fp32", "bf16 and fp32")]
    with h5py.File(tmp_path / "shard-00002.h5") as last, h5py.File(tmp_path / "shard-00000.h5") as first:
        each = [json.loads(file.attrs["provenance"])["precision"] for file in (first, last)]
    assert each == ["bf16", "fp32"]


HEAD = LinearHead(["ball", "rope", "hat"], ["round", "long", "worn"], np.array([[1, 0], [0, 1], [1, 1]]))


@pytest.mark.usefixtures("stand_in")
def test_objects_can_be_computed_again_from_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(Encoder, "object_head", HEAD)
    extract(clips("001", "002"), Encoder(), tmp_path / "a", objects_k=2)
    store = FeatureStore(tmp_path / "a")
    assert store.vocabulary is not None and store.vocabulary.names == HEAD.names
    assert store.provenance["object_head_fingerprint"] == HEAD.fingerprint
    for id in store.ids:
        logits = HEAD.logits(store.features(id)).mean(axis=0).astype(float)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        indices, kept = store.objects(id)
        assert indices.tolist() == np.argsort(-probabilities)[:2].tolist()
        np.testing.assert_allclose(kept, np.sort(probabilities)[::-1][:2], rtol=1e-5)
    extract(clips("001"), Encoder(), tmp_path / "b", objects_k=0)
    assert FeatureStore(tmp_path / "b").objects("id 001") is None


@pytest.mark.usefixtures("stand_in")
def test_what_is_refused(tmp_path):
    report = extract(clips("001", "001"), Encoder(), tmp_path)
    assert report.done == 1 and "ids must be unique" in report.failed[0].reason
    with pytest.raises(MismatchError, match=r"'id 001' as 'even', the source says 'odd'"):
        extract([Clip(Path("/clips/001.mp4"), "id 001", "odd")], Encoder(), tmp_path)
    other = Encoder()
    other.name, other.fingerprint = "other", "0" * 64
    with pytest.raises(MismatchError, match=r"encoder toy.*not other"):
        extract(clips("002"), other, tmp_path)
    assert extract([], Encoder(), tmp_path) == ExtractionReport(0, 0, [])


@pytest.mark.usefixtures("stand_in")
def test_what_concerns_all_clips_stops_and_ctrl_c_keeps_what_is_done(tmp_path):
    with pytest.raises(MissingWeightsError):
        extract(clips("001", "fatal", "002"), Encoder(), tmp_path / "a")

    def interrupt(done, total, failed):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(clips(*NUMBERS), Encoder(), tmp_path / "b", workers=2, on_progress=interrupt)
    assert FeatureStore(tmp_path / "b").ids == [f"id {name}" for name in NUMBERS[:5]]


@pytest.mark.usefixtures("stand_in")
def test_a_kill_after_any_shard_loses_nothing_of_what_is_told_of_its_clips(tmp_path, monkeypatch):
    flush = extraction.StoreWriter.flush

    def killed(self):
        flush(self)
        raise MissingWeightsError("as if killed here")

    monkeypatch.setattr(StandInDecoder, "reading", Reading(2, 1, 0, 1.0, 2.0))  # of every clip a part
    with monkeypatch.context() as patch, pytest.raises(MissingWeightsError):
        patch.setattr(extraction.StoreWriter, "flush", killed)
        extract(clips(*NUMBERS[:6]), Encoder(), tmp_path, shard_videos=2)
    stored = FeatureStore(tmp_path).ids
    assert extract(clips(*NUMBERS[:6]), Encoder(), tmp_path).skipped == len(stored) == 2
    listed = json.loads((tmp_path / "failed.json").read_text())["read in part"]
    assert [entry["id"] for entry in listed] == [f"id {name}" for name in NUMBERS[:6]]


def write_film(path, colour, frames=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (32, 32))
    for _ in range(frames):
        writer.write(np.full((32, 32, 3), colour[::-1], np.uint8))
    writer.release()
    return path


class Colour(Encoder):
    dim = 3

    def __init__(self, in_decoder=False):
        self.in_decoder = in_decoder

    def encode(self, frames):
        return np.array([[frame.image[..., c].mean() for c in range(3)] for frame in frames], dtype=np.float32)


@pytest.mark.parametrize("in_decoder", [False, True])
def test_real_files_through_the_real_decoder(tmp_path, in_decoder):
    red = write_film(tmp_path / "red.avi", (200, 0, 0))
    (tmp_path / "text.mp4").write_text("this is no video\n")
    (tmp_path / "empty.mp4").touch()
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi"))
    odd.write_bytes(red.read_bytes())
    given = [Clip(tmp_path / name, name) for name in ("red.avi", "text.mp4", "empty.mp4", "none.mp4")]
    given.append(Clip(odd, "cafe"))
    report = extract(given, Colour(in_decoder), tmp_path / "store", workers=2, limits=Limits(time_s=30))
    assert (report.done, [failure.id for failure in report.failed]) == (2, ["text.mp4", "empty.mp4", "none.mp4"])
    store = FeatureStore(tmp_path / "store")
    assert store.ids == ["red.avi", "cafe"]
    for id in store:
        np.testing.assert_allclose(store.features(id), [[200, 0, 0]] * 3, atol=3)


def test_a_film_replaced_under_the_same_name_is_read_anew(tmp_path):
    given = [Clip(write_film(tmp_path / f"{id}.avi", (200, 0, 0)), id, "jump") for id in ("a", "b", "c")]
    assert extract(given, Colour(), tmp_path / "store", shard_videos=2).done == 3
    write_film(tmp_path / "b.avi", (0, 0, 200), frames=6)
    (tmp_path / "c.avi").write_text("no film any more")
    report = extract(given, Colour(), tmp_path / "store")
    assert (report.done, report.skipped, len(report.failed), report.changed) == (1, 1, 1, 2)
    store = FeatureStore(tmp_path / "store")
    assert sorted(store.ids) == ["a", "b"]
    np.testing.assert_allclose(store.features("b"), [[0, 0, 200]] * 2, atol=3)
    np.testing.assert_allclose(store.features("a"), [[200, 0, 0]] * 3, atol=3)
    assert extract(given[:2], Colour(), tmp_path / "store") == ExtractionReport(0, 2, [])


def test_a_ray_cluster_makes_the_same_store_also_when_a_worker_is_killed(tmp_path):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
    clips = [Clip(write_film(tmp_path / f"{n}.avi", (25 * n, 0, 0)), f"{n}", f"class {n % 2}") for n in range(9)]
    clips[4].path.write_bytes(b"no film")
    killed, here = tmp_path / "killed", os.getpid()

    class Fragile(Colour):  # the process that sees the film 7 first is killed
        def encode(self, frames):
            rows = super().encode(frames)
            if os.getpid() != here and not killed.exists() and abs(rows[0, 0] - 175) < 5:
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return rows

    told, plain = [], extract(clips, Fragile(), tmp_path / "plain")
    found = extract_on_ray(clips, Fragile, tmp_path / "ray", shard_videos=3, on_progress=lambda *n: told.append(n))
    assert killed.exists() and found == plain and found.done == 8 and told[-1] == (8, 9, 1)
    one, other = FeatureStore(tmp_path / "plain"), FeatureStore(tmp_path / "ray")
    assert (one.ids, one.labels, one.fingerprint) == (other.ids, other.labels, other.fingerprint)
    assert (tmp_path / "ray/failed.json").read_text() == (tmp_path / "plain/failed.json").read_text()
    assert not any((tmp_path / "ray/.parts").iterdir())
    assert extract_on_ray(clips[:3], Fragile, tmp_path / "ray").skipped == 3
