"""Spans: the path of least flicker by trying all paths, films against clips, files by hand."""

import csv
import io
import itertools
import json

import av
import numpy as np
import pytest

from cezsar.video import Decoder, Sampling
from cezsar.zeroshot import spans as library
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import Rejector
from cezsar.zeroshot.spaces import Space
from cezsar.zeroshot.spans import NONE, WINDOW_S, Film, Span, Timeline, find, read, runs, segment, spans, steady

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "yellow": (200, 200, 0), "grey": (90, 90, 90)}


class ColourEncoder:
    name, dim, fingerprint, domain = "colours", 3, "0" * 64, "colours"
    in_decoder, object_head = False, None
    sampling = Sampling(fps=1.0)

    def encode(self, frames):
        return np.array([frame.image.mean((0, 1)) for frame in frames], np.float32).reshape(-1, 3)


class ColourSpace(Space):
    name, limit_s = "image-text", None

    def sentences(self, sentences):
        return np.array([COLOURS[sentence] for sentence in sentences], np.float32)

    def clips(self, features):
        return np.array([clip_TD.mean(0) for clip_TD in features], np.float32)


@pytest.fixture
def classifier():
    weights = Weights(1, 0, 0)
    with Classifier(ColourEncoder(), ColourSpace(), name="colours", trust="", weights=weights) as opened:
        yield opened


def draw(path, colours, fps=5, size=(48, 32)):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for colour, seconds in colours:
            image = np.full((size[1], size[0], 3), COLOURS[colour], np.uint8)
            for _ in range(round(seconds * fps)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_steady_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    for length, states in ((1, 3), (2, 2), (5, 3), (7, 2)) * 20:
        scores, change = rng.standard_normal((length, states)), float(rng.uniform(0, 2))
        worth = {
            path: sum(scores[np.arange(length), path]) - change * sum(a != b for a, b in itertools.pairwise(path))
            for path in itertools.product(range(states), repeat=length)
        }
        assert tuple(steady(scores, change)) == max(worth, key=worth.get)
    assert steady(np.zeros((4, 3)), 0.0).tolist() == [0, 0, 0, 0]  # ties stay


def test_a_border_falls_where_the_evidence_turns_and_flicker_is_absorbed():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [40, 30, 50])
    cosine = 0.2 + 0.1 * np.eye(3)[truth] + 0.03 * rng.standard_normal((120, 3))
    assert segment(cosine.astype(np.float32)).tolist() == truth.tolist()
    cosine[[10, 55]] = cosine[[100, 5]]  # a second here and there that looks like something else
    assert segment(cosine.astype(np.float32)).tolist() == truth.tolist()
    assert segment((cosine * 0.01 + 0.5).astype(np.float32)).tolist() == truth.tolist()  # no matter the scale
    assert segment(np.array([[0.1, 0.3]], np.float32)).tolist() == [1]  # of one second, and of nothing
    assert segment(np.zeros((5, 2), np.float32)).tolist() == [0] * 5
    assert runs(np.array([3, 3, NONE, 0])) == [(0, 2), (2, 3), (3, 4)]


def rejector(kind, threshold):
    return Rejector(kind, threshold, 0.1, "false accept", 0.05, 100, "")


def test_a_stretch_that_shows_none_of_them_is_told():
    cosine = np.full((60, 2), 0.1, np.float32)
    cosine[:20, 0] = cosine[40:, 1] = 0.5
    assert segment(cosine, rejector("cosine", 0.3)).tolist() == [0] * 20 + [NONE] * 20 + [1] * 20
    cosine[20:40] = 0  # undecided
    assert segment(cosine, rejector("margin", 0.2)).tolist() == [0] * 20 + [NONE] * 20 + [1] * 20


def told(found):
    return [(span.start_s, span.end_s, span.label) for span in found]


def test_a_film_is_read_second_by_second(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("cezsar.zeroshot.classifier.BLOCK", 4)
    path = draw(tmp_path / "film.mkv", [("red", 6), ("blue", 7.4)])
    progress = []
    film = read(classifier, path, window_s=3, progress=lambda done, total: progress.append((done, total)))
    assert film.seconds["VE"].shape == (14, 3) and film.duration_s == pytest.approx(13.4) and film.fps == 5
    colours = np.array([COLOURS["red"]] * 6 + [COLOURS["blue"]] * 8, np.float32)
    expected = [colours[max(0, second - 1) : second + 2].mean(0) for second in range(14)]
    np.testing.assert_allclose(film.seconds["VE"], expected, atol=3)
    assert progress == [(done, 14) for done in range(1, 15)]
    (tmp_path / "cut.mkv").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    film = read(classifier, tmp_path / "cut.mkv")
    length = len(film.seconds["VE"])
    assert length < 10 and length - 1 < film.duration_s <= length
    assert f"{film.duration_s:.1f} of 13.4 s" in film.reading and "could be read" in film.reading


def test_spans_of_a_film(classifier, tmp_path):
    path = draw(tmp_path / "film.mkv", [("red", 10), ("green", 8), ("red", 5), ("blue", 9.4)])
    film = read(classifier, path)
    found = spans(classifier, film, ["green", "red", "blue"])
    ends = (23, pytest.approx(32.4), "blue")
    assert told(found) == [(0, 10, "red"), (10, 18, "green"), (18, 23, "red"), ends]
    assert all(0.9 < span.score <= 1 and span.probability is None for span in found)
    assert [span.label for span in spans(classifier, film, ["yellow"])] == ["yellow"]


def test_none_of_these_can_be_left_out(classifier, tmp_path):
    film = read(classifier, draw(tmp_path / "film.mkv", [("red", 10), ("grey", 10), ("blue", 10)]), window_s=1)
    classifier.rejector = rejector("cosine", 0.9)
    found = spans(classifier, film, ["red", "blue"])
    assert told(found) == [(0, 10, "red"), (10, 20, None), (20, 30, "blue")]
    assert found[1].probability is None
    assert found[0].probability == pytest.approx(1 / (1 + np.exp(-found[0].score / 0.1)), abs=1e-3)
    assert [span.label for span in spans(classifier, film, ["red", "blue"], none=False)] == ["red", "blue"]
    other = spans(classifier, film, ["red", "blue"], weights=Weights(0.5, 0.5, 0))
    assert None not in [span.label for span in other]  # the rejector was chosen with other weights


def test_one_label_is_found_where_it_is_above_the_others(classifier, tmp_path):
    first = read(classifier, draw(tmp_path / "a.mkv", [("red", 10), ("yellow", 8), ("red", 5)]))
    second = read(classifier, draw(tmp_path / "b.mkv", [("green", 12), ("blue", 12)]))
    hits = find(classifier, first, "yellow", ["red", "green", "blue", "Yellow"])
    assert told(hits) == [(10, 18, "yellow")] and hits[0].score > 0 and hits[0].probability is None
    assert find(classifier, second, "yellow", ["red", "green", "blue"]) == []
    reds = find(classifier, first, "red", ["yellow", "green", "blue"])
    assert {(hit.start_s, hit.end_s) for hit in reds} == {(0, 10), (18, 23)} and reds[0].score >= reds[1].score


@pytest.mark.parametrize("window_s", [1, 3, 4, 40])
def test_windows_are_embedded_as_clips_are(workspace, window_s):
    clip = sorted((workspace / "demo/test/kicking a drum").iterdir())[0]
    with Classifier.of_run(workspace / "runs/demo") as classifier, Decoder() as decoder:
        film, features = read(classifier, clip, window_s=window_s), classifier.features(clip)
        info, whole = decoder.probe(clip), classifier.embed(str(clip), features)
        again = Film.of(classifier, whole, info, info.duration_s)
        assert (again.duration_s, again.fps, again.warning) == (film.duration_s, film.fps, film.warning)
        for second in range(len(features)):
            places = range(second - window_s // 2, second - window_s // 2 + window_s)
            alone = classifier.embed("", features[[place for place in places if 0 <= place < len(features)]])
            for modality, row in (("VE", alone.visual_E), ("O", alone.objects_E)):
                np.testing.assert_allclose(film.seconds[modality][second], row, atol=1e-5)
                if window_s == WINDOW_S:
                    np.testing.assert_allclose(again.seconds[modality][second], row, atol=1e-5)
        assert film.warning == classifier.rank(whole).warning and film.reading == ""


HARD = 'a "b", <c> & d'
SPANS = [Span(0, 12, "playing guitar", 0.41234567, 0.8), Span(12, 20, None, 0.1), Span(20, 3725.5, HARD, 0.3)]
TIMELINES = [
    Timeline("films/v_QOlSCBRmfWY.mp4", "photographs", 29.97, SPANS),
    Timeline("films/other.mp4", "photographs", None, [Span(0, 2, "juggling", 1.5)]),
    Timeline("more/other.mkv", "photographs", 25, []),
]
EVIL = Timeline("-1+cmd.mp4", "@x", 25, [Span(-1, 2, "=1+1", -0.5)])


def test_csv():
    rows = list(csv.reader(io.StringIO(library.to_csv([*TIMELINES, EVIL]))))
    film = "films/v_QOlSCBRmfWY.mp4"
    assert rows == [
        ["film", "start_s", "end_s", "label", "score", "probability", "model"],
        [film, "0.000", "12.000", "playing guitar", "0.412346", "0.800000", "photographs"],
        [film, "20.000", "3725.500", HARD, "0.300000", "", "photographs"],
        ["films/other.mp4", "0.000", "2.000", "juggling", "1.500000", "", "photographs"],
        ["'-1+cmd.mp4", "-1.000", "2.000", "'=1+1", "-0.500000", "", "'@x"],
    ]


def test_activitynet_submission():
    guitar = {"label": "playing guitar", "score": 0.412346, "segment": [0.0, 12.0]}
    assert json.loads(library.to_activitynet(TIMELINES)) == {
        "version": "VERSION 1.3",
        "results": {
            "QOlSCBRmfWY": [guitar, {"label": HARD, "score": 0.3, "segment": [20.0, 3725.5]}],
            "other": [{"label": "juggling", "score": 1.5, "segment": [0.0, 2.0]}],
            "other (2)": [],
        },
        "external_data": {"used": True, "details": "CEZSAR, zero-shot, with photographs"},
    }
    names = ["x", "x (2)", "x (2) (2)", "x (3)", "y"]  # each of its own
    assert library.ids(["a/x.mp4", "b/x.mkv", "c/x (2).mp4", "x.avi", "y.mp4"]) == names


def test_webvtt_is_as_written_by_hand_and_read_by_ffmpeg(tmp_path):
    escaped = 'a "b", &lt;c&gt; &amp; d'
    times = ("00:00:00.000 --> 00:00:12.000", "00:00:20.000 --> 01:02:05.500")
    assert library.to_webvtt(TIMELINES[0]) == f"WEBVTT\n\n{times[0]}\nplaying guitar\n\n{times[1]}\n{escaped}\n"
    (tmp_path / "film.vtt").write_text(library.to_webvtt(TIMELINES[0]))
    with av.open(str(tmp_path / "film.vtt")) as container:
        packets = [packet for packet in container.demux() if packet.size]
        seconds = [[float(ticks * packet.time_base) for ticks in (packet.pts, packet.duration)] for packet in packets]
        texts = [bytes(packet).decode() for packet in packets]
    assert seconds == [[0, 12], [20, 3705.5]] and texts == ["playing guitar", escaped]


def test_label_studio_predictions():
    tasks = json.loads(library.to_label_studio(TIMELINES))
    value = {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["juggling"]}
    result = {"id": "span-1", "type": "timelinelabels", "from_name": "actions", "to_name": "video", "value": value}
    predictions = [{"model_version": "photographs", "result": [result | {"score": 1.5}]}]
    assert tasks[1] == {"data": {"video": "films/other.mp4", "fps": 25.0}, "predictions": predictions}
    assert tasks[2]["predictions"][0]["result"] == []
    # Frame by frame, as that tool counts them: number 1 is shown from 0 s on.
    for result, span in zip(tasks[0]["predictions"][0]["result"], (SPANS[0], SPANS[2]), strict=True):
        (frames,) = result["value"]["ranges"]
        assert (frames["start"] - 1) / 29.97 == pytest.approx(span.start_s, abs=0.5 / 29.97)
        assert frames["end"] / 29.97 == pytest.approx(span.end_s, abs=0.5 / 29.97)
