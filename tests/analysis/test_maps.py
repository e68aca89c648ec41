"""Maps: the same clips in every space, prototypes or mean clips as stars, files that come back."""

from pathlib import Path

import numpy as np
import pytest

from cezsar.analysis import maps
from cezsar.analysis.projection import project, sample_rows, save
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.scored import Scored

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "demo"
CLASSES = ("kicking a box", "dragging a box", "balancing a box on the head")


@pytest.fixture(scope="module")
def item():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def drawn(item):
    heard = []
    settings = maps.Settings(perplexity=5, seed=3, sample=24, classes=CLASSES)
    made = maps.draw(item, settings, lambda space, done, total: heard.append((space, done, total)))
    assert list(dict.fromkeys(space for space, _, _ in heard)) == ["raw", "sentence", "joint"]
    assert heard[-1][1] == heard[-1][2]
    return made


def test_the_chosen_classes_alone_are_fitted(item, drawn):
    labels = [item.embeddings().labels[row] for row in item.clouds()[0][drawn.rows_N]]
    assert {name: labels.count(name) for name in CLASSES} == dict.fromkeys(CLASSES, 8) and len(labels) == 24
    index = item.scores().class_names.index
    for space, projection in drawn.projections.items():
        assert projection.videos_N2.shape == (24, 2) and projection.prototypes_P2.shape == (3, 2)
        assert drawn.star_class[space].tolist() == sorted(index(name) for name in CLASSES)
    assert drawn.means == {"raw"}


def test_the_joint_space_is_projected_with_its_prototypes(item, drawn):
    names = item.scores().class_names
    chosen = sorted(names.index(name) for name in CLASSES)
    labels = np.array([names.index(label) for label in item.embeddings().labels])
    inside = np.flatnonzero(np.isin(labels, chosen))
    rows = inside[sample_rows(labels[inside], 24, np.random.default_rng(3))]
    np.testing.assert_array_equal(drawn.rows_N, rows)
    joint = item.clouds()[1]["joint"]
    expected = project("joint", joint.videos_NE, joint.prototypes_PE[chosen], rows, perplexity=5, seed=3)
    np.testing.assert_array_equal(drawn.projections["joint"].videos_N2, expected.videos_N2)
    np.testing.assert_array_equal(drawn.projections["joint"].prototypes_P2, expected.prototypes_P2)


def test_without_sentences_a_star_is_the_mean_clip(item, monkeypatch):
    given = {}

    def record(space, videos_NE, stars_PE, rows_N, **settings):
        given[space] = stars_PE
        return project(space, videos_NE[:1], None, [0])

    monkeypatch.setattr(maps, "project", record)
    drawn = maps.draw(item, maps.Settings(sample=24, classes=CLASSES))
    raw, labels = item.clouds()[1]["raw"].videos_NE.astype(np.float64), item.embeddings().labels
    for star, index in zip(given["raw"], drawn.star_class["raw"], strict=True):
        name = item.scores().class_names[index]
        units = [raw[row] / np.linalg.norm(raw[row]) for row in drawn.rows_N if labels[row] == name]
        np.testing.assert_allclose(star, sum(units) / len(units), atol=1e-6)
    np.testing.assert_array_equal(given["joint"], item.clouds()[1]["joint"].prototypes_PE[drawn.star_class["joint"]])


def test_a_map_comes_back_from_its_file(item, tmp_path, monkeypatch):
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    settings = maps.Settings(perplexity=4, sample=21)
    path = maps.keep(item, settings)
    assert path == tmp_path / "cache" / "projections" / f"{item.fingerprint[:16]}-p4-s0-n21.safetensors"
    back, again = maps.read(path), maps.draw(item, settings)
    np.testing.assert_array_equal(back.rows_N, again.rows_N)
    assert back.means == again.means == {"raw"}
    for space, projection in again.projections.items():
        np.testing.assert_array_equal(back.projections[space].videos_N2, projection.videos_N2)
        np.testing.assert_array_equal(back.star_class[space], again.star_class[space])


def test_every_setting_has_a_file_of_its_own():
    settings = [
        maps.Settings(), maps.Settings(perplexity=12.5), maps.Settings(seed=1), maps.Settings(sample=7),
        maps.Settings(classes=("a", "b")), maps.Settings(classes=("a", "c")),
    ]  # fmt: skip
    assert len({one.file_name("f" * 64) for one in settings}) == 6
    assert maps.Settings(classes=("a", "b")).file_name("f") == maps.Settings(classes=("b", "a")).file_name("f")


def test_what_cannot_be_drawn_is_refused(item, tmp_path):
    with pytest.raises(InputError, match="did you mean 'kicking a box'"):
        maps.draw(item, maps.Settings(classes=("kicking a bx",)))
    with pytest.raises(InputError, match="without its clouds"):
        maps.draw(Scored.open(SHIPPED / "scores" / "demo-colour@demo"), maps.Settings())
    videos = np.random.default_rng(0).normal(size=(9, 4))
    save([project("raw", videos, None, np.arange(9), iterations=250)], tmp_path / "map.safetensors", {})
    with pytest.raises(FormatError, match="make it again"):
        maps.read(tmp_path / "map.safetensors")
