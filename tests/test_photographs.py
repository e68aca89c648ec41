"""The run `photographs` as it comes along, that it ranks real pictures; and the closed form of a run of rows."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.datasets import load_sample_image
from sklearn.decomposition import KernelPCA

import cezsar
from cezsar import encoders
from cezsar.arrays import unit_rows
from cezsar.data.datasets import named_descriptions
from cezsar.data.sentence_cache import SHIPPED, SentenceCache, open_encoder
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.errors import InputError
from cezsar.training.rows import FUSION, OBJECTS, SHARPNESS, ood_distance_of, ridge_map, run_of_rows
from cezsar.training.runs import Run, find_run


@pytest.fixture(scope="module")
def run():
    return Run.open("photographs")


def test_it_is_found_by_name_small_and_of_the_encoders_that_are_here(run):
    assert find_run("photographs") == run.folder and find_run("nothing of the kind") is None
    assert sum(file.stat().st_size for file in run.folder.iterdir()) < 3e6
    encoder = encoders.create("efficientnet")
    run.check_feature_encoder(encoder.name, encoder.fingerprint)
    sentences = open_encoder(run.config.sentence_encoder["name"])
    run.check_sentence_encoder(sentences.name, sentences.fingerprint, sentences.dim)
    assert (run.config.object_rule, run.config.objects, run.config.fusion) == ("names", OBJECTS, FUSION)


def test_a_picture_is_named_by_what_is_in_it(tmp_path):
    film = tmp_path / "film.avi"
    palace = np.ascontiguousarray(load_sample_image("china.jpg")[..., ::-1])
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 4, palace.shape[1::-1])
    for _ in range(12):
        writer.write(palace)
    writer.release()
    labels = ["visiting a palace", "playing drums", "swimming", "riding a bike", "cooking an egg"]
    with cezsar.load("photographs") as classifier:
        ranking = classifier.classify(film, labels)
    assert ranking.labels[0][0] == "visiting a palace" and ranking.margin > 0.1
    assert ranking.objects[0][0] == "palace" and set(ranking.contributions) == {"VE", "O"}
    assert ranking.per_second is not None and ranking.per_second.shape == (3, 5)
    assert ranking.probabilities is not None and ranking.none_of_these is False and ranking.warning == ""


def test_what_it_needs_for_a_first_answer_comes_along(tmp_path):
    sentences = load_sentence_encoder("minilm")
    texts = [*imagenet_vocabulary()[0], *(text for (text,) in named_descriptions("kinetics400").values())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "encode", None)
        found = SentenceCache(sentences, tmp_path, SHIPPED).encode(texts)
    np.testing.assert_allclose(found[::50], sentences.encode(texts[::50]), rtol=5e-4, atol=2e-6)  # float16
    assert sum(file.stat().st_size for file in SHIPPED[0].rglob("*.npz")) < 1.5e6


@pytest.mark.heavy
def test_the_documented_command_makes_it_again(run, tmp_path):
    again = run_of_rows(tmp_path / "photographs", encoders.create("efficientnet"), open_encoder("minilm"))
    assert again.config == run.config
    shipped, made = (load_file(folder / "model.safetensors") for folder in (run.folder, again.folder))
    # The sign of a component is arbitrary, and not the same with every library of linear algebra.
    parts = "sentence.components.weight", "sentence.components.bias", "visual.project.weight"
    signs = np.sign((shipped[parts[0]].astype(np.float32) * made[parts[0]]).sum(1))
    for name, values in made.items():
        values = (values.T * signs).T if name in parts else values
        np.testing.assert_allclose(shipped[name].astype(np.float32), values, rtol=2e-3, atol=1e-3, err_msg=name)


K, D, S = 12, 7, 5


class Sentences:
    name, fingerprint, dim = "letters", "letters-1", S

    def encode(self, sentences):
        return np.stack([np.random.default_rng(list(text.encode())).normal(size=S) for text in sentences]).astype("f4")


class Frames:
    name, fingerprint, dim, domain = "frames", "frames-1", D, "toy pictures"

    def __init__(self, unit_norm=False):
        names, weight = [f"thing {k}" for k in range(K)], np.random.default_rng(3).normal(size=(K, D))
        self.object_head = LinearHead(names, ["what it is"] * K, weight, unit_norm=unit_norm)


def test_the_ridge_map_is_where_the_loss_is_least():
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(K, D)).astype("f4"), rng.normal(size=(K, S)).astype("f4")
    solved = ridge_map(rows, targets, 0.5)

    def loss(m):
        pairs = zip(rows - rows.mean(0), targets - targets.mean(0), strict=True)
        return 0.5 * float((m**2).sum()) + sum(float(((row @ m - target) ** 2).sum()) for row, target in pairs)

    assert all(loss(solved + 0.01 * rng.normal(size=solved.shape)) > loss(solved) for _ in range(50))


def test_the_run_embeds_by_its_closed_form(tmp_path):
    run, head = run_of_rows(tmp_path / "run", Frames(), Sentences()), Frames().object_head
    (run.folder / "model.safetensors").unlink()  # as if killed in the middle
    run = run_of_rows(tmp_path / "run", Frames(), Sentences())
    with pytest.raises(InputError, match="already holds a run"):
        run_of_rows(tmp_path / "run", Frames(), Sentences())
    assert run.trained and Run.open(tmp_path / "run").config == run.config and run.ood_distance() is None
    assert run.config.object_rule == "names" and run.config.fusion == FUSION
    model = run.load_model()
    texts = head.names, [f"{name} what it is" for name in head.names]
    names, defined = (unit_rows(Sentences().encode(each).astype(float)) for each in texts)
    # scikit-learn's kernel PCA of the directions from the mean name: ||u - v||² = 2 - 2 u·v on the sphere, so
    # exp(b (u·v - 1)) is the Gaussian kernel of gamma b / 2.
    center = names.mean(0)
    library = KernelPCA(model.config.d_emb, kernel="rbf", gamma=SHARPNESS / 2).fit(unit_rows(names - center))
    by_name, by_definition = (unit_rows(library.transform(unit_rows(each - center))) for each in (names, defined))
    clips = np.random.default_rng(1).normal(size=(2, 4, D)).astype("f4")
    with torch.inference_mode():
        visual = model.visual_embedding(torch.from_numpy(clips), torch.tensor([4, 2])).numpy()
        spoken = model.sentence_embedding(torch.from_numpy(defined.astype("f4"))).numpy()
    # A component's sign is arbitrary, an inner product is not; weights are kept as float16.
    np.testing.assert_allclose(spoken @ spoken.T, by_definition @ by_definition.T, atol=0.01)
    mapped = ridge_map(head.weight, ((by_name + by_definition) / 2).astype("f4"))
    expected = unit_rows(np.stack([clip[:n].mean(0) @ mapped for clip, n in zip(clips, (4, 2), strict=True)]))
    np.testing.assert_allclose(visual @ spoken.T, expected @ by_definition.T, atol=0.01)


def test_what_has_no_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="no classifier whose rows"):
        run_of_rows(tmp_path / "run", Frames(unit_norm=True), Sentences())


def test_ordinary_clips_are_familiar_and_others_are_not():
    rng = np.random.default_rng(2)
    directions = rng.normal(size=(3, 40))

    def clip():
        return (rng.normal(size=(6, 3)) @ directions + 0.1 * rng.normal(size=(6, 40))).astype("f4")

    familiar = ood_distance_of([clip() for _ in range(20)])
    assert np.mean([familiar.distance(clip()) < 1 for _ in range(50)]) > 0.9
    assert familiar.distance(rng.normal(size=(6, 40)).astype("f4") * 3) > 2
    with pytest.raises(InputError, match="ten at least"):
        ood_distance_of([clip()] * 9)
