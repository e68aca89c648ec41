"""`cezsar caption` on small captioners with random weights: its file against transformers called directly."""

import json
import shutil

import av
import cv2
import numpy as np
import pytest
import transformers as hf
from PIL import Image

from cezsar.data import captioning
from cezsar.data.annotations import load_captions
from cezsar.data.manifest import read_source
from cezsar.encoders.captioners import Captioner, load_captioner
from cezsar.errors import FormatError
from cezsar.video import Sampling


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of 7, 4 and 1 seconds, one without pictures and one that is none."""
    folder = tmp_path_factory.mktemp("films")
    for number, seconds in enumerate((7, 4, 1)):
        writer = cv2.VideoWriter(str(folder / f"{number}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 4, (64, 48))
        for picture in np.random.default_rng(number).integers(0, 256, (4 * seconds, 6, 8, 3), np.uint8):
            writer.write(np.kron(picture, np.ones((8, 8, 1), np.uint8)))
        writer.release()
    with av.open(str(folder / "sound.mp4"), "w") as sound:
        stream = sound.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        sound.mux([*stream.encode(silence), *stream.encode()])
    (folder / "text.mp4").write_text("no film")
    return folder


def directly(folder, decoder, film, times_s):
    """What transformers says of the pictures of a film."""
    processor, model = hf.AutoProcessor.from_pretrained(folder), hf.BlipForConditionalGeneration.from_pretrained(folder)
    pictures = {frame.time_s: Image.fromarray(frame.image) for frame in decoder.frames(film, Sampling(fps=1.0))}
    for time_s in times_s:
        pixels = processor(images=pictures[time_s], return_tensors="pt")
        tokens = model.eval().generate(**pixels, num_beams=3, max_new_tokens=30)
        yield processor.decode(tokens[0], skip_special_tokens=True).strip() + "."


def test_the_file_has_what_the_library_says_and_evaluate_reads_it(cezsar, home, films, captioner_folders, decoder):
    folder = captioner_folders["blip"]
    given = ["caption", films, "--model", f"caption:{folder}", "--out", "c.json", "--precision", "fp32"]
    status, out, err = cezsar(*given, "--every", 2)
    assert status == 1 and "c.json: 3 clips captioned, 0 were there already, 2 failed" in out and "2 failed" in err
    assert (
        "sound.mp4: not a video that can be read; it has sound only" in out and "text.mp4: this is a text file" in out
    )
    results = json.loads((home.parent / "here/c.json").read_text())["results"]
    for id, times_s, ends_s in (("0", (1, 3, 5, 6), (2, 4, 6, 7)), ("1", (1, 3), (2, 4)), ("2", (0,), (1,))):
        said = list(directly(folder, decoder, films / f"{id}.avi", times_s))
        assert len(set(said)) == len(said) and load_captions("c.json")[id] == said
        times = [[2 * number, end_s] for number, end_s in enumerate(ends_s)]
        assert [each["timestamp"] for each in results[id]] == times
    (home.parent / "here/index.json").write_text(json.dumps({"a ball": ["0"], "a dog": ["1", "2"]}))
    assert cezsar("evaluate", "--dataset", "index.json", "--captions", "c.json", "--protocol", "all")[0] == 0
    assert "0 clips captioned, 3 were there already, 2 failed" in cezsar(*given, "--every", 2)[1]
    status, _, err = cezsar(*given)
    assert status == 2 and "captions made with every_s 2.0, not 3.0; give another file for --out" in err


def test_stopped_and_started_again_it_ends_with_the_same_file(films, captioner_folders, tmp_path, monkeypatch):
    folder = shutil.copytree(films, tmp_path / "films")
    captioner, asked, real = load_captioner(f"caption:{captioner_folders['git']}", device="cpu"), [], Captioner.captions
    monkeypatch.setattr(Captioner, "captions", lambda self, frames: asked.append(1) or real(self, frames))

    def caption(out, **more):
        asked.clear()
        report = captioning.caption(read_source(folder), captioner, tmp_path / out, workers=1, **more)
        return report.done, report.skipped, len(report.failed), report.changed, len(asked)

    def stop(done, clips, failed):
        raise KeyboardInterrupt

    assert caption("whole.json") == (3, 0, 2, 0, 3)
    with pytest.raises(KeyboardInterrupt):
        caption("again.json", on_progress=stop)
    assert [path.name for path in tmp_path.glob("*again*")] == [".captioning-again.json"]  # nothing half under its name
    assert caption("again.json") == (2, 1, 2, 0, 2)
    whole = (tmp_path / "whole.json").read_bytes()
    assert (tmp_path / "again.json").read_bytes() == whole and not list(tmp_path.glob(".captioning*"))
    shutil.copy(folder / "2.avi", folder / "1.avi")  # another film of that name
    (folder / "3.avi").symlink_to(folder / "0.avi")
    assert caption("again.json") == (2, 2, 2, 1, 2)
    changed = load_captions(tmp_path / "again.json")
    assert list(changed) == ["0", "2", "1", "3"] and changed["1"] == changed["2"] and changed["3"] == changed["0"]
    wrong = {"holds something else": {"results": {}}, "lacks captions": json.loads(whole) | {"films": {"9": 1}}}
    for said, content in wrong.items():
        (tmp_path / "again.json").write_text(json.dumps(content))
        with pytest.raises(FormatError, match=said):
            caption("again.json")
    for path in folder.glob("*.avi"):
        path.unlink()
    assert caption("nothing.json") == (0, 0, 2, 0, 0) and not list(tmp_path.glob("*nothing*"))
