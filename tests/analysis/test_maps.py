"""Maps: neighbourhoods are kept, the same clips in every space, degenerate input has an answer, files come back."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from threadpoolctl import threadpool_info, threadpool_limits

from cezsar.analysis import maps
from cezsar.analysis.gap import directions
from cezsar.analysis.maps import MapSettings, place, places, project, sample_rows
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import read_arrays, write_arrays

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "demo" / "scores"
CLASSES = ("kicking a box", "dragging a box", "balancing a box on the head")


@pytest.fixture
def item():
    return Scored.open(SHIPPED / "demo@demo")


@pytest.fixture
def given(monkeypatch):
    """What `project` is called with; positions are the first two coordinates."""
    calls = []
    monkeypatch.setattr(maps, "project", lambda *what: calls.append(what) or what[0][:, :2])
    return calls


def units_of(seed=0, n=60, classes=4, width=16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width)) * 3
    return directions(centres[np.arange(n) % classes] + rng.normal(size=(n, width)), "points")


def test_a_map_shows_clips_and_stars_and_comes_back_from_its_file(item, given, tmp_path):
    settings, heard = MapSettings(5, 3, 24, CLASSES), []
    path = maps.keep(item, settings, tmp_path / "map.safetensors", lambda *step: heard.append(step))
    assert heard == [(0, 3, "raw"), (1, 3, "sentence"), (2, 3, "joint"), (3, 3, "")]
    found, names, (_, clouds) = maps.read(path), item.scores().class_names, item.clouds()
    chosen = sorted(names.index(name) for name in CLASSES)
    labels = np.array([names.index(label) for label in item.embeddings().labels])
    inside = np.flatnonzero(np.isin(labels, chosen))
    rows = inside[sample_rows(labels[inside], 24, np.random.default_rng(3))]
    np.testing.assert_array_equal(found.rows_N, rows)
    assert [(labels[rows] == index).sum() for index in chosen] == [8, 8, 8]
    assert {space: one.means for space, one in found.projections.items()} == {space: space == "raw" for space in clouds}
    raw = directions(clouds["raw"].videos_NE, "clips")
    means = [np.mean([raw[row] for row in rows if labels[row] == index], axis=0) for index in chosen]
    for (units, *more), (space, cloud) in zip(given, clouds.items(), strict=True):
        stars = means if space == "raw" else cloud.prototypes_PE[chosen]
        expected = np.concatenate([cloud.videos_NE[rows], stars])
        np.testing.assert_allclose(units, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
        assert more == [5, 3] and found.projections[space].star_class_P.tolist() == chosen
        np.testing.assert_array_equal(np.concatenate(found.projections[space][:2]), units[:, :2])


def test_every_setting_has_a_file_of_its_own_and_must_make_sense(item):
    assert MapSettings(4.0, sample=21).file_name("0123456789abcdef" * 4) == "0123456789abcdef-p4-s0-n21.safetensors"
    assert MapSettings(classes=("a", "b")).file_name("f") == MapSettings(classes=("b", "a")).file_name("f")
    for change in ({"perplexity": 0}, {"perplexity": np.nan}, {"seed": -1}, {"sample": 0}):
        with pytest.raises(InputError, match="perplexity must be above 0"):
            MapSettings(**change)
    with pytest.raises(InputError, match="did you mean 'kicking a box'"):
        maps.draw(item, MapSettings(classes=("kicking a bx",)))
    with pytest.raises(InputError, match="without its clouds"):
        maps.draw(Scored.open(SHIPPED / "demo-colour@demo"), MapSettings())


def test_damaged_files_are_refused(item, given, tmp_path):
    path = tmp_path / "map.safetensors"
    arrays, described = read_arrays(maps.keep(item, MapSettings(sample=9), path), "projections")
    for changed, told in ((arrays | {"0.videos": arrays["0.videos"][:3]}, described), (arrays, {}), ({}, described)):
        write_arrays(path, "projections", changed, told)
        with pytest.raises(FormatError, match="damaged"):
            maps.read(path)


def test_it_is_scikit_learns_tsne():
    units = units_of(1, n=64)  # 30 is more perplexity than 64 points allow
    expected = TSNE(perplexity=21, init="pca", random_state=3, max_iter=300, n_jobs=1).fit_transform(units)
    found = project(units, seed=3, iterations=300)
    assert trustworthiness(units, found) == pytest.approx(trustworthiness(units, expected), abs=0.02)


def test_one_thread_does_all_since_sums_of_several_come_in_any_order(monkeypatch):
    seen = []

    def watched(self, rows):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return rows[:, :2]

    monkeypatch.setattr(TSNE, "fit_transform", watched)
    with threadpool_limits(2):
        project(units_of(1), seed=3)
    assert set(seen) == {1}


def test_odd_input_has_an_answer():
    for width in (1, 6, 1500):
        assert not project(np.full((40, width), 0.1)).any()
    assert project(np.zeros((0, 4))).shape == (0, 2) and not project(units_of(4)[:1]).any()
    units = units_of(5, n=30)
    for n in (2, 3, 4):  # a few points lie on their principal components
        np.testing.assert_allclose(np.abs(project(units[:n])), np.abs(PCA(2).fit_transform(units[:n])), atol=1e-5)
    units[:10] = 0
    wide = directions(units_of(3, n=80) @ np.random.default_rng(0).normal(size=(16, 1500)), "points")
    assert trustworthiness(wide, project(wide, 10, iterations=250), n_neighbors=5) > 0.85
    for found in (project(units, iterations=250), project(np.repeat(np.eye(2), 20, axis=0), iterations=250)):
        assert np.isfinite(found).all() and found.any()


@pytest.mark.parametrize("most", [0, 1, 3, 17, 59, 60, 1000])
def test_samples_are_as_even_over_classes_as_can_be(most):
    sizes = [1, 4, 9, 16, 30]
    labels, firsts = np.random.default_rng(0).permutation(np.repeat(np.arange(-1, 4), sizes)), set()
    for seed in range(20):
        rows = sample_rows(labels, most, np.random.default_rng(seed))
        assert len(rows) == min(most, 60) and (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, sample_rows(labels, most, np.random.default_rng(seed)))
        taken = [(labels[rows] == c).sum() for c in range(-1, 4)]
        assert all(max(taken) - count <= 1 for count, size in zip(taken, sizes, strict=True) if count < size)
        firsts |= {*labels[rows].tolist()}
    assert len(firsts) == (5 if most else 0)  # the class of a single clip is drawn, too


def test_a_clip_is_placed_among_its_nearest():
    videos = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]])
    positions = np.array([[0, 0], [4, 0], [0, 9], [100, 100]], np.float32)
    clip = np.array([1, 0.05])
    unit = videos / np.linalg.norm(videos, axis=1, keepdims=True)
    weight = [1 / (1 - unit[row] @ clip / np.linalg.norm(clip)) for row in (0, 1)]
    expected = (weight[0] * positions[0] + weight[1] * positions[1]) / sum(weight)
    np.testing.assert_allclose(place(clip * 7, videos, positions, k=2), expected, rtol=0.01)
    np.testing.assert_allclose(place([0, 5], videos, positions, k=3), positions[2], atol=0.01)
    np.testing.assert_allclose(place([0, 0], videos, positions), positions.mean(axis=0))
    points = [clip, [0, 5], [0, 0]]
    np.testing.assert_array_equal(places(points, videos, positions), [place(p, videos, positions) for p in points])
    with pytest.raises(InputError, match="does not go with"):
        places([[1, 0, 0]], videos, positions)
