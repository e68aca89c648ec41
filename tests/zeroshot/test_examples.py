"""Labels shown by clips and pictures: prototypes against the formula in plain loops, and all the forms they come in."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cezsar import FormatError, InputError, MismatchError, VideoError
from cezsar.zeroshot import spans
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.examples import (
    Example,
    KeptLabels,
    Label,
    blended,
    example_rows,
    not_read,
    prototypes_with,
    read_labels,
    share_of,
)
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import Rejector

KICK, WAVE, DRAG = "kicking a drum", "waving a broom", "dragging a box"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(a, b):
    return float(unit(a.astype(float)) @ unit(b.astype(float)))


@pytest.fixture
def classifier(opened, workspace):
    return opened


@pytest.fixture(scope="module")
def films(small_demo):
    """A clip of each label."""
    return {name: min((small_demo[0] / "demo/test" / name).iterdir()) for name in (KICK, WAVE, DRAG)}


def test_a_prototype_is_the_mean_of_unit_rows_and_a_blend_goes_from_the_sentences_to_it():
    rng, weights = np.random.default_rng(0), Weights(0.7, 0.3, 0.5)
    clips = {name: rng.normal(size=(5, 6)) for name in ("VE", "O", "C")}
    rows = example_rows(clips, weights)
    for row, visual, objects in zip(rows, clips["VE"], clips["O"], strict=True):
        np.testing.assert_allclose(row, unit(0.7 * unit(visual) + 0.3 * unit(objects)), rtol=1e-5)
    sentences, shown = rng.normal(size=(2, 6)), rows[3:]
    mean = unit((shown[0].astype(float) + shown[1]) / 2)
    for share in (0.25, 0.8):
        for mixed, sentence in zip(blended(sentences, shown, share), sentences, strict=True):
            np.testing.assert_allclose(mixed, (1 - share) * unit(sentence) + share * mean, rtol=1e-5)
    assert blended(sentences, shown, 0) is sentences and blended(sentences, shown[:0], 0.8) is sentences
    for alone in (blended(sentences, shown, 1), blended(sentences[:0], shown, 0)):
        np.testing.assert_allclose(alone, mean[None], rtol=1e-5)
    assert [share_of(n) for n in (0, 1, 4)] == [0, 1 / 2, 4 / 5] and share_of(2, worth=0) == 1
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match=r"from 0 .* to 1"):
            blended(sentences, shown, share)
        with pytest.raises(InputError, match=r"from 0 .* to 1"):
            Label(share=share)


def test_a_label_with_examples_is_ranked_by_the_formula_and_the_others_by_their_sentences(classifier, films):
    clip, example = classifier.read(films[KICK]), classifier.read(films[WAVE])
    weights, told = Weights(0.6, 0.4), classifier.described([KICK, WAVE, DRAG])
    labels = told | {WAVE: Label(told[WAVE], [films[WAVE]]), DRAG: Label(examples=[films[DRAG], films[WAVE]])}
    found = dict(classifier.rank(clip, labels, weights=weights).labels)
    vide = 0.6 * clip.visual_E.astype(float) + 0.4 * clip.objects_E
    shown = {
        name: unit(0.6 * unit(each.visual_E.astype(float)) + 0.4 * unit(each.objects_E.astype(float)))
        for name, each in ((WAVE, example), (DRAG, classifier.read(films[DRAG])))
    }
    (kick,), (wave,) = (classifier.space.sentences(told[name]) for name in (KICK, WAVE))
    assert found[KICK] == pytest.approx(cosine(vide, kick), abs=1e-6)
    assert found[WAVE] == pytest.approx(cosine(vide, unit(wave.astype(float)) / 2 + shown[WAVE] / 2), abs=1e-6)
    assert found[DRAG] == pytest.approx(cosine(vide, shown[DRAG] + shown[WAVE]), abs=1e-6)


def test_without_examples_or_share_all_is_zero_shot_to_the_bit(classifier, films):
    clip, told = classifier.read(films[KICK]), classifier.described([KICK, WAVE, DRAG])
    plain = classifier.rank(clip, told)
    for kick in (Label(told[KICK]), Label(told[KICK], [films[KICK]], share=0)):
        assert classifier.rank(clip, {**told, KICK: kick}).labels == plain.labels
        assert not classifier.rank(clip, {**told, KICK: kick}).notes


def test_what_is_not_zero_shot_says_so_and_has_no_probabilities(classifier, films, monkeypatch):
    clip, told = classifier.read(films[KICK]), classifier.described([KICK, WAVE])
    rejector = Rejector("probability", 0.1, 0.1, "false reject", 0.05, 210, "clips of another day")
    monkeypatch.setattr(classifier, "rejector", rejector)
    assert classifier.rank(clip, told).probabilities
    found = classifier.rank(clip, {**told, KICK: Label(told[KICK], [films[KICK]])})
    assert found.notes == ("1 of 2 labels is shown by examples: not zero-shot",)
    assert found.probabilities is None and found.none_of_these is None


def test_time_lines_by_example_have_no_probabilities_either(classifier, films, monkeypatch):
    film, told = spans.read(classifier, films[KICK]), classifier.described([KICK, WAVE])
    monkeypatch.setattr(classifier, "rejector", Rejector("probability", 0.1, 0.1, "false reject", 0.05, 210, "others"))
    assert all(span.probability is not None for span in spans.spans(classifier, film, told, none=False))
    labels = {**told, KICK: Label(told[KICK], [films[KICK]])}
    found = spans.spans(classifier, film, labels)
    assert all(span.probability is None and span.label is not None for span in found)
    note = classifier.by_example(labels)
    line = spans.Timeline("a.mp4", "demo", 8.0, found, note)
    assert "CEZSAR, zero-shot" not in spans.to_activitynet([line]) and note in spans.to_activitynet([line])


def test_one_sentence_may_stand_without_its_list_and_a_film_counts_once(classifier, films):
    clip = classifier.read(films[KICK])
    listed = {KICK: ["A drum is kicked."], WAVE: Label(["A wave."], [films[WAVE]])}
    alone = {KICK: "A drum is kicked.", WAVE: Label("A wave.", [films[WAVE], films[WAVE]])}
    assert classifier.rank(clip, alone).labels == classifier.rank(clip, listed).labels
    assert classifier.rank(clip, f"{KICK}, {WAVE}").labels == classifier.rank(clip, [KICK, WAVE]).labels
    assert Label("A wave.", films[WAVE]).examples == (films[WAVE],)


def test_a_picture_shows_a_label_too(classifier, films, tmp_path, monkeypatch):
    frame = next(iter(classifier._decoder.frames(films[KICK], classifier.encoder.sampling))).image
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    example = classifier.example(tmp_path / "a.png")
    embedded = classifier.read(tmp_path / "a.png")
    assert example.content == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    np.testing.assert_array_equal(example.rows["VE"], embedded.visual_E)
    np.testing.assert_array_equal(example.rows["O"], embedded.objects_E)
    monkeypatch.setattr(classifier, "read", lambda path: pytest.fail("it is read once"))
    assert classifier.example(tmp_path / "a.png") is example


def test_a_film_is_searched_for_what_one_clip_shows(classifier, films):
    film = spans.read(classifier, films[KICK])
    kick = {"mine": Label(examples=[films[KICK]])}
    (hit,) = spans.find(classifier, film, "mine", kick)[:1]  # among Kinetics-400's classes
    assert hit.label == "mine" and hit.score > 0
    among = {**kick, "other": ["A person waves a broom."], "third": ["A person drags a box."]}
    assert spans.find(classifier, film, "mine", among)
    with pytest.raises(InputError, match="only be found among other labels"):
        spans.find(classifier, film, "a word", {"a word": Label(["a word"])})


# Models of pictures and words, where any two clips are nearer to each other than a clip to its sentence


def gapped(rng, classes=4, width=24):
    """Clips of classes, and their sentences, a long way apart."""
    centres, gap = rng.normal(size=(classes, width)), 12 * unit(rng.normal(size=width))
    return lambda c: centres[c] + gap + 0.5 * rng.normal(size=width), centres - gap


def test_across_a_gap_examples_count_as_they_differ_from_other_examples():
    rng, weights, names = np.random.default_rng(1), Weights(1, 0), list("abcd")
    clip, sentences = gapped(rng)
    told = {name: sentences[index : index + 1] for index, name in enumerate(names)}
    shown = {name: Label(examples=[Example("e", "0", {"VE": clip(names.index(name))})]) for name in "ab"}
    hits = {False: 0, True: 0}
    for gap in hits:
        rows, owner = prototypes_with(names, told, shown, weights, gap)
        for _ in range(10):
            for index in range(4):
                hits[gap] += owner[np.argmax([cosine(clip(index), row) for row in rows])] == index
    assert hits[False] <= 20 and hits[True] >= 38  # all go to one of the two; nearly all are right


def test_across_a_gap_examples_of_one_label_say_nothing(clip_folder, films):
    with Classifier.of_encoder("clip:" + str(clip_folder)) as classifier:
        clip, told = classifier.read(films[KICK]), {KICK: ["A kick."], WAVE: ["A wave."]}
        found = classifier.rank(clip, told | {KICK: Label(told[KICK], [films[KICK]])})
        assert found.labels == classifier.rank(clip, told).labels
        assert "of two or more labels" in found.notes[0]
        with pytest.raises(InputError, match="examples alone"):
            classifier.rank(clip, told | {DRAG: Label(examples=[films[DRAG]])})
        with pytest.raises(InputError, match="alone has sentences"):
            shown = {name: Label(examples=[films[name]]) for name in (WAVE, DRAG)}
            classifier.rank(clip, {KICK: ["A kick."]} | shown)
        two = told | {KICK: Label(told[KICK], [films[KICK]]), DRAG: Label(examples=[films[DRAG]])}
        assert classifier.rank(clip, two).labels[0][0] == KICK


# In files


def test_a_folder_of_a_folder_a_label(films, tmp_path):
    for name in (KICK, WAVE):
        (tmp_path / name.replace(" ", "_")).mkdir()
        shutil.copy(films[name], tmp_path / name.replace(" ", "_"))
    (tmp_path / "kicking_a_drum" / "words.txt").write_text("A drum is kicked.\n\nA foot  hits a drum.\n")
    (tmp_path / "waving_a_broom" / "a.JPG").write_bytes(b"picture")
    (tmp_path / "waving_a_broom" / "notes.pdf").write_bytes(b"no example")
    (tmp_path / ".hidden").mkdir()
    found = read_labels(tmp_path)
    assert list(found) == [KICK, WAVE]
    assert found[KICK].sentences == ("A drum is kicked.", "A foot hits a drum.")
    assert [path.name for path in found[KICK].examples] == [films[KICK].name]
    assert not found[WAVE].sentences and found[WAVE].examples[0].name == "a.JPG"
    assert not_read(tmp_path) == f"{tmp_path}: 1 file passed over, no video, picture or text by their names (.pdf 1)"
    (tmp_path / "told.txt").write_text("It is told.\n")
    assert read_labels(tmp_path)["told"] == Label(["It is told."])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="'empty'"):
        read_labels(tmp_path)
    (tmp_path / "empty").rmdir()
    (tmp_path / "kicking a drum.txt").write_text("Again.\n")
    with pytest.raises(FormatError, match="two places for label 'kicking a drum'"):
        read_labels(tmp_path)
    shutil.copy(films[DRAG], tmp_path)
    with pytest.raises(InputError, match=f"in no label's folder.*: {films[DRAG].name}"):
        read_labels(tmp_path)


def test_an_empty_folder_beside_descriptions_changes_nothing(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "run.txt").write_text("A man runs.\n")
    (tmp_path / "run.mp4").write_bytes(b"of nothing")
    assert not_read(tmp_path) == f"{tmp_path}: 1 file passed over, no text by their names (.mp4 1)"
    assert read_labels(tmp_path) == {"run": Label(["A man runs."])}


def test_json_with_examples_and_whatever_describes_classes(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({
        "a": {"sentences": "One.", "examples": ["x/1.mp4", "/abs/2.png"], "share": 0.25}, "b": ["Two.", "Three."],
        "c": {"examples": "3.mp4"},
    }))  # fmt: skip
    found = read_labels(path)
    assert found["a"] == Label(["One."], [tmp_path / "x/1.mp4", tmp_path / "/abs/2.png"], 0.25)
    assert found["b"] == Label(["Two.", "Three."]) and found["c"] == Label([], [tmp_path / "3.mp4"])
    shipped = read_labels("ucf101")
    assert len(shipped) == 101 and all(label.sentences and not label.examples for label in shipped.values())
    for wrong in ({"sentences": [1]}, {"examples": 3}, {"share": 2, "sentences": "a"}, {"pictures": ["a.png"]}):
        path.write_text(json.dumps({"a": wrong}))
        with pytest.raises(FormatError, match=r"mine.json.*'a'"):
            read_labels(path)
    path.write_text(json.dumps({"a": {"sentences": []}}))
    with pytest.raises(InputError, match="neither sentence nor example"):
        read_labels(path)
    path.write_text(json.dumps({"a b": {"sentences": "x"}, "AB": {"sentences": "y"}}))
    with pytest.raises(FormatError, match="spellings of one"):
        read_labels(path)


def test_labels_are_kept_without_films_and_rank_the_same(classifier, films, tmp_path):
    clip, labels = classifier.read(films[KICK]), {KICK: Label(["A kick."], [films[WAVE]]), WAVE: ["A wave."]}
    kept = classifier.label_set(labels)
    kept.save(tmp_path / "a.safetensors")
    kept.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (tmp_path / "a.safetensors").stat().st_size < 4000  # no film
    again = classifier.labels_of(tmp_path / "a.safetensors")
    assert classifier.rank(clip, again).labels == classifier.rank(clip, labels).labels
    (example,) = again[KICK].examples
    assert example.name == films[WAVE].name
    assert example.content == hashlib.sha256(films[WAVE].read_bytes()).hexdigest()
    bare = KeptLabels({"a": Label(["A."])}, "another", "0" * 64)  # has nothing of a model
    bare.check(classifier.name, classifier.fingerprint)
    bare.save(tmp_path / "bare.safetensors")
    assert KeptLabels.load(tmp_path / "bare.safetensors").labels == bare.labels


def test_kept_labels_of_another_model_or_damaged_ones_are_refused(classifier, films, tmp_path, monkeypatch):
    path, other = tmp_path / "a.safetensors", tmp_path / "other.safetensors"
    classifier.label_set({KICK: Label(["A kick."], [films[WAVE]])}).save(path)
    with monkeypatch.context() as patch, pytest.raises(MismatchError, match="is another one"):
        patch.setattr(classifier, "object_rule", "names")
        classifier.labels_of(path)
    with safe_open(path, framework="numpy") as file:
        words = file.metadata()
    arrays = load_file(path)
    for wrong in (
        arrays | {"VE": arrays["VE"][:, :3]}, {"VE": arrays["VE"]} | {"X": arrays["O"]}, {},
        {name: np.concatenate([each, each]) for name, each in arrays.items()},
        {name: np.full_like(each, np.nan) for name, each in arrays.items()},
    ):  # fmt: skip
        save_file(wrong, other, words)
        with pytest.raises(FormatError, match=r"other.safetensors.*save the labels again"):
            KeptLabels.load(other)
    newer = json.loads(words["labels"]) | {"version": 99}
    save_file(arrays, other, {"labels": json.dumps(newer)})
    with pytest.raises(FormatError, match="update cezsar"):
        KeptLabels.load(other)


def test_what_cannot_be_an_example_is_told(classifier, tmp_path):
    (tmp_path / "no.mp4").write_text("no film")
    for name in ("no.mp4", "missing.mp4", "/dev/zero", "nul\0"):
        with pytest.raises(VideoError, match=name.rstrip("\0")):
            classifier.example(tmp_path / name)
        with pytest.raises(InputError, match="example of label 'a'"):
            classifier.shown({"a": Label(examples=[tmp_path / name])})
    mixed = [Example("a", "0", {"VE": np.ones(3, np.float32)}), Example("b", "1", {"O": np.ones(3, np.float32)})]
    with pytest.raises(MismatchError, match="different models"):
        prototypes_with(["a"], {}, {"a": Label(examples=mixed)}, Weights())
    alone = {"a": Label(examples=mixed[:1])}
    with pytest.raises(MismatchError, match="different models"):
        prototypes_with(["a", "b"], {"b": np.ones((1, 4), np.float32)}, alone, Weights())
    with pytest.raises(InputError, match="embed them first"):
        prototypes_with(["a"], {}, {"a": Label(examples=["a.mp4"])}, Weights())
