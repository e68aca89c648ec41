"""From a file to ranked labels: against the pieces called one by one, and the choice of who answers."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from sklearn.decomposition import KernelPCA

from cezsar import InputError, MismatchError, encoders
from cezsar.data.features import FeatureStore
from cezsar.encoders.objects import LinearHead, object_sentence, top_objects
from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.training.rows import SHARPNESS
from cezsar.training.runs import Run
from cezsar.video import Decoder, Sampling
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.model_choice import Chooser, for_film, for_films
from cezsar.zeroshot.rejection import RejectionLimits, Rejector
from cezsar.zeroshot.tables import rankings_csv, rankings_json

LABELS = ["kicking a drum", "waving a broom", "dragging a box", "something of my own"]


@pytest.fixture
def classifier(opened, workspace, monkeypatch):
    for name in ("limits", "rejector", "middle"):
        monkeypatch.setattr(opened, name, getattr(opened, name))
    return opened


@pytest.fixture(scope="module")
def clip(small_demo):
    return min((small_demo[0] / "demo/test/kicking a drum").iterdir())


@pytest.fixture(scope="module")
def read(opened, clip):
    return opened.read(clip)


def directions(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_ranking_is_equations_1_to_9_one_by_one(workspace, classifier, clip):
    run = Run.open(workspace / "runs/demo")
    model, sbert = run.load_model(), load_sentence_encoder("minilm")
    features = FeatureStore(workspace / "features/demo-test").features(clip.stem)
    head = LinearHead.load(run.folder / "objects.safetensors")
    sentences = [classifier.descriptions[name][0] for name in LABELS[:3]] + [LABELS[3]]

    def se(texts):
        with torch.inference_mode():
            return model.sentence_embedding(torch.from_numpy(sbert.encode(texts))).numpy()

    def vide(features):
        said = object_sentence(head, top_objects(head.logits(features), run.config.objects)[0])
        with torch.inference_mode():
            ve = model.visual_embedding(torch.from_numpy(features)[None], torch.tensor([len(features)]))[0].numpy()
        return 0.7 * ve + 0.3 * se([said])[0]

    prototypes = se(sentences)
    expected = {name: cosine(vide(features), z) for name, z in zip(LABELS, prototypes, strict=True)}
    ranking = classifier.classify(clip, LABELS, weights=Weights(0.7, 0.3), top=4)
    assert [name for name, _ in ranking.labels] == sorted(expected, key=expected.__getitem__, reverse=True)
    for name, similarity in ranking.labels:
        assert similarity == pytest.approx(expected[name], abs=2e-3)  # the store keeps float16
    assert ranking.margin == pytest.approx(ranking.labels[0][1] - ranking.labels[1][1], abs=1e-6)
    best = LABELS.index(ranking.labels[0][0])
    assert ranking.per_second.shape == (len(features), 4)
    assert ranking.per_second[2, 0] == pytest.approx(cosine(vide(features[1:4]), prototypes[best]), abs=2e-3)


def test_labels_of_every_kind_need_no_second_look(classifier, read, monkeypatch):
    for method in ("run", "frames"):
        monkeypatch.setattr(Decoder, method, lambda *_: pytest.fail("decoded again"))
    first = classifier.rank(read, LABELS)
    assert classifier.rank(read, ["a", "b"], weights=Weights(0.5, 0.5)).labels != first.labels
    assert len(classifier.rank(read, top=99).labels) == 21
    assert classifier.rank(read, ["only one"]).margin == 0
    spelt, known = (classifier.rank(read, [name]).labels[0] for name in ("KickingADrum", "kicking a drum"))
    assert spelt[1] == pytest.approx(known[1])
    with pytest.raises(InputError, match="no classes"):
        classifier.rank(read, [])


def test_labels_that_stay_are_not_embedded_again(classifier, read, monkeypatch):
    first = {"a": ["a man kicks", "a foot"], "b": ["a drum"], "c": ["a broom sweeps"]}
    changed = {"c": first["c"], "b": ["a box is pushed"], "a": first["a"], "d": ["a bucket"]}
    expected = classifier.rank(read, changed).labels
    classifier.rank(read, first)
    embedded, whole = [], type(classifier.space).labels
    monkeypatch.setattr(type(classifier.space), "labels", lambda *given: embedded.append(given[1:]) or whole(*given))
    assert dict(classifier.rank(read, changed).labels) == pytest.approx(dict(expected), abs=1e-6)
    assert embedded == [(("b", "d"), ("a box is pushed", "a bucket"))]


def test_a_clip_beyond_a_limit_is_warned_of_with_the_next_step(classifier, read):
    ranking = classifier.rank(read, LABELS, limits=RejectionLimits(1e9))  # ten videos are too few to know what is usual
    assert ranking.warning == "" and ranking.reasons == ()
    weak = classifier.rank(read, LABELS, limits=RejectionLimits(1e9, similarity=1.1))
    assert weak.labels == ranking.labels and len(weak.reasons) == 1
    assert weak.warning == f"none of these: {weak.reasons[0]}" and "the least is 1.10" in weak.warning
    classifier.limits = RejectionLimits(0.0)
    warning = classifier.rank(read, LABELS).warning
    assert warning.startswith("none of these: the clip looks like nothing that demo was trained on")
    for part in ("do not trust", "photographs", encoders.FOR_REAL_VIDEO, f"cezsar fetch {encoders.FOR_REAL_VIDEO}"):
        assert part in warning


def test_an_image_text_model_ranks_without_a_run(clip_folder, clip, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # float32, as the library called directly
    name = f"clip:{clip_folder}"
    with Classifier.of_encoder(name) as frozen:
        ranking = frozen.classify(clip, LABELS, top=4)
        prompts = frozen.encoder.prompts
    model = SentenceTransformer(str(clip_folder), device="cpu")
    with Decoder() as decoder:
        images = [Image.fromarray(frame.image) for frame in decoder.frames(clip, Sampling(fps=1.0))]
    vectors = model.encode(images)
    mean = directions(vectors).mean(0)
    expected = {}
    for name in LABELS:  # a bare label is the mean of its prompts' unit vectors
        expected[name] = cosine(mean, directions(model.encode([each.format(name) for each in prompts])).mean(0))
    assert {name: pytest.approx(value, abs=1e-3) for name, value in ranking.labels} == expected
    assert "frozen" in frozen.trust and ranking.warning == ""


def test_who_answers_when_nobody_said(workspace, clip, clip_folder, tmp_path, monkeypatch):
    real = tmp_path / "real.avi"
    writer = cv2.VideoWriter(str(real), cv2.VideoWriter.fourcc(*"MJPG"), 8, (320, 240))
    for image in np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), dtype=np.uint8):
        writer.write(image)
    writer.release()
    monkeypatch.setattr("cezsar.zeroshot.model_choice.OOD_LIMIT", 1e9)  # ten videos are too few to know what is usual
    with Chooser() as chooser:
        assert chooser.read(clip)[0].name == "demo" and "drawn world" in chooser.why
        assert chooser.read(real)[0].name == "photographs" and "comes along" in chooser.why
    monkeypatch.setattr("cezsar.zeroshot.model_choice.OOD_LIMIT", 0.0)
    with Decoder() as decoder:
        assert for_film(clip, decoder).name == "photographs"  # of the world's size, but unlike it
    shutil.copytree(clip_folder, workspace / "models/clip-ViT-B-32")
    try:
        assert [found.name for found in for_films()] == ["clip:clip-ViT-B-32", "photographs"]
        with Chooser() as chooser:
            assert chooser.classifier(real).name == "clip:clip-ViT-B-32"
        with Chooser(run="demo") as chooser:
            assert chooser.classifier(real).name == "demo"  # asked for: it answers for every clip
    finally:
        shutil.rmtree(workspace / "models/clip-ViT-B-32")


def test_objects_count_by_the_rule_of_the_run(clip):
    """`photographs`: the direction of the sum of fifty names, each times its mean probability, in a kernel PCA."""
    sentences = load_sentence_encoder("minilm")
    labels = ["playing drums", "reading a book", "a dog catches a frisbee"]

    with Classifier.of_run("photographs") as classifier:
        read = classifier.read(clip)
        head = classifier.head
        names = directions(sentences.encode(head.names).astype(float))
        origin = names.mean(0)
        pca = KernelPCA(384, kernel="rbf", gamma=SHARPNESS / 2).fit(directions(names - origin))

        def embedded(texts: list[str]) -> np.ndarray:
            return directions(pca.transform(directions(directions(sentences.encode(texts)) - origin)))

        logits = head.logits(read.features_TD).astype(np.float64)
        probability = np.mean([np.exp(row) / np.exp(row).sum() for row in logits], axis=0)
        best = np.argsort(-probability, kind="stable")[:50]
        summed = probability[best] @ embedded([head.names[index] for index in best])
        expected = embedded(labels) @ summed / np.linalg.norm(summed)
        spoken_CE = classifier.space.sentences(labels)
        np.testing.assert_allclose(spoken_CE @ read.objects_E, expected, atol=0.005)  # weights are kept as float16
        assert [name for name, _, _ in read.objects] == [head.names[index] for index in best]
        classifier.use_objects("sentence")
        read = classifier.read(clip)
        sentence = ". ".join(f"{name} {definition}" for name, definition, _ in read.objects)
        np.testing.assert_allclose(spoken_CE @ read.objects_E, embedded(labels) @ embedded([sentence])[0], atol=0.005)


def test_long_clips_count_in_whole_by_windows(classifier):
    features = np.random.default_rng(1).normal(size=(40, classifier.encoder.dim)).astype(np.float32)
    clip = classifier.embed("long", features)
    windows = [features[:14], features[14:27], features[27:]]  # at most 15 s each, of nearly equal length
    parts = classifier.space.clips(windows)
    expected = sum(len(part) * row for part, row in zip(windows, parts, strict=True)) / 40
    np.testing.assert_allclose(clip.visual_E, expected, rtol=1e-5)
    assert classifier.rank(clip, LABELS).notes == ("all 40 s count, as 3 windows of at most 15 s",)
    classifier.middle = True
    middle = classifier.embed("long", features)
    np.testing.assert_allclose(middle.visual_E, classifier.space.clips([features[12:27]])[0], rtol=1e-5)
    assert middle.windows == 1 and classifier.rank(middle, LABELS).notes == ()


def test_what_cannot_rank_is_refused(workspace, tmp_path):
    with pytest.raises(InputError, match="neither reads text nor names objects"):
        Classifier.of_encoder("motion")
    shutil.copytree(workspace / "runs/demo", tmp_path / "run")
    path = tmp_path / "run/config.json"
    fingerprint = Run.open(tmp_path / "run").config.feature_encoder["fingerprint"]
    path.write_text(path.read_text().replace(fingerprint, "0" * 64))
    with pytest.raises(MismatchError, match=r"motion.*0000"):
        Classifier.of_run(tmp_path / "run")


def test_the_whole_row_of_labels_is_judged_not_the_best_few(classifier, read):
    classifier.rejector = None
    every = classifier.rank(read, LABELS, top=4)
    scores = np.array([score for _, score in every.labels])
    probabilities = np.exp(scores / 0.1) / np.exp(scores / 0.1).sum()
    for offset, expected, top in ((-1e-4, False, 1), (1e-4, True, 4)):
        threshold = probabilities[0] + offset
        classifier.rejector = Rejector("probability", threshold, 0.1, "false reject", 0.05, 210, "clips of another day")
        ranking = classifier.rank(read, LABELS, top=top)
        assert ranking.none_of_these is expected and ranking.labels == every.labels[:top]
        assert ranking.probabilities == pytest.approx(list(probabilities[:top]), abs=1e-5)
        assert f"{probabilities[0]:.3f}" in ranking.judgement and "no guarantee" in ranking.judgement
        assert ranking.warning == every.warning  # unlike training: another matter


def test_without_a_rejector_or_with_other_weights_nothing_is_said_and_exports_agree(classifier, read):
    classifier.rejector = Rejector("cosine", 0.5, 0.1, "false reject", 0.05, 210, "clips of another day")
    for weights in (Weights(4, 1), Weights(0.8, 0.2, 0.1)):  # 0.8 and 0.2, longer; without a caption
        assert classifier.rank(read, LABELS, weights=weights).none_of_these is not None
    captioned = classifier.rank(read, LABELS, weights=Weights(0.8, 0.2, 0.1), caption="someone kicks")
    classifier.rejector, other = None, classifier.rank(read, LABELS, weights=Weights(0.5, 0.5))
    for ranking in (captioned, other, classifier.rank(read, LABELS, top=2)):
        assert (ranking.none_of_these, ranking.probabilities, ranking.judgement) == (None, None, "")
    head, first, _ = rankings_csv([ranking]).splitlines()
    assert head == "clip,rank,label,similarity,VE,O,margin,model,warning,probability,none_of_these,judgement,notes"
    assert f",1,{ranking.labels[0][0]},{ranking.labels[0][1]:.6f}," in first and first.endswith(",,,")
    assert f'"label": "{ranking.labels[0][0]}"' in rankings_json([ranking])
    assert '"none_of_these": null' in rankings_json([ranking]) and rankings_json([]) == "[]\n"
