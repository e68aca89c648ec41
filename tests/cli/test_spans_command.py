"""`cezsar spans`: what it prints and writes against the library, several films, and what is refused before any work."""

import csv
import json
import re
import shutil

import av
import pytest

from cezsar.cli.recognition import clock
from cezsar.world import HEIGHT_PX, WIDTH_PX
from cezsar.zeroshot import spans as library
from cezsar.zeroshot.classifier import Classifier

LABELS = ["kicking a drum", "waving a broom", "dragging a box"]


@pytest.fixture(scope="module")
def film(small_demo, tmp_path_factory):
    """Two clips of the demo, one after the other."""
    path = tmp_path_factory.mktemp("films") / "holiday.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=8, width=WIDTH_PX, height=HEIGHT_PX, pix_fmt="yuv420p")
        for label in LABELS[:2]:
            with av.open(str(min((small_demo[0] / "demo/test" / label).iterdir()))) as container:
                for frame in container.decode(video=0):
                    picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
                    out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


@pytest.fixture
def spans(workspace, cezsar):
    """Run `cezsar spans` with the demo's run."""
    return lambda *arguments: cezsar("spans", *arguments, "--run", workspace / "runs/demo")


GIVEN = ["--labels", ", ".join(LABELS)]


def test_spans_are_the_librarys_in_every_form(spans, workspace, film, tmp_path):
    with Classifier.of_run(workspace / "runs/demo") as classifier:
        expected = library.spans(classifier, library.read(classifier, film, window_s=3), LABELS)
    outs = {name: tmp_path / "out" / f"spans.{name}" for name in ("csv", "json", "vtt", "label-studio")}
    written = [part for name, out in outs.items() for part in (f"--{name}", out)]
    status, out, _ = spans(film, *GIVEN, "--window", 3, *written)
    assert status == 0
    lines = out.splitlines()
    assert lines[1] == str(film) and lines[2] == "  demo answers"
    timed = [line for line in lines if re.match(r" +\d:\d\d", line)]
    for line, span in zip(timed, expected, strict=True):
        assert line.split()[:2] == [clock(span.start_s), clock(span.end_s)]
        assert line.endswith(span.label or "none of these")
    seen = [span for span in expected if span.label]
    rows = list(csv.DictReader(outs["csv"].open()))
    assert [(row["label"], float(row["start_s"]), float(row["end_s"])) for row in rows] == [
        (span.label, span.start_s, pytest.approx(span.end_s, abs=1e-3)) for span in seen
    ]
    results = json.loads(outs["json"].read_text())["results"]
    assert [entry["label"] for entry in results["holiday"]] == [span.label for span in seen]
    assert outs["vtt"].read_text().count("-->") == len(seen)
    (task,) = json.loads(outs["label-studio"].read_text())
    assert task["data"] == {"video": str(film), "fps": 8.0} and len(task["predictions"][0]["result"]) == len(seen)
    status, out, _ = spans(film, *GIVEN, "--no-none")
    assert status == 0 and "none of these" not in out


def test_several_films_some_of_them_unreadable(spans, film, tmp_path):
    folder, broken = tmp_path / "films", tmp_path / "films" / "broken.mp4"
    (folder / "more").mkdir(parents=True)
    shutil.copy(film, folder / "more" / "b.mkv")
    broken.write_text("no film")
    status, out, err = spans(folder, film, *GIVEN, "--vtt", tmp_path / "vtt", "--json", tmp_path / "a.json")
    assert status == 1 and "broken.mp4" in err and "Traceback" not in err
    assert out.index("b.mkv") < out.index("holiday.mkv")
    assert sorted(path.name for path in (tmp_path / "vtt").iterdir()) == ["b.vtt", "holiday.vtt"]
    assert list(json.loads((tmp_path / "a.json").read_text())["results"]) == ["b", "holiday"]
    status, _, err = spans(broken, *GIVEN, "--csv", tmp_path / "a.csv")  # the only one
    assert status == 2 and "broken.mp4" in err and not (tmp_path / "a.csv").exists()


def test_one_label_over_films(spans, film, tmp_path):
    other = tmp_path / "other.mkv"
    shutil.copy(film, other)
    status, out, _ = spans(film, other, "--find", "kicking a drum", "--csv", tmp_path / "hits.csv")
    rows = list(csv.DictReader((tmp_path / "hits.csv").open()))
    first, *lines = out.splitlines()
    assert status == 0 and first.startswith(f"kicking a drum: {len(rows)} place")
    assert len(lines) == len(rows) and {row["label"] for row in rows} <= {"kicking a drum"}
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    status, out, _ = spans(film, "--find", "dragging a box", *GIVEN)
    assert status == 0 and "in 1 film" in out
