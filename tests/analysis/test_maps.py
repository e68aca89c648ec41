"""Maps: neighbourhoods are kept, the same clips in every space, degenerate input has an answer, files come back."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from cezsar.analysis import maps
from cezsar.analysis.gap import directions
from cezsar.analysis.maps import MapSettings, place, project, sample_rows
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import read_arrays, write_arrays

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "assets" / "demo" / "scores"
CLASSES = ("kicking a box", "dragging a box", "balancing a box on the head")
SETTINGS = MapSettings(5, 3, 24, CLASSES)


@pytest.fixture(scope="module")
def item():
    return Scored.open(SHIPPED / "demo@demo")


@pytest.fixture(scope="module")
def drawn(item):
    heard = []
    made = maps.draw(item, SETTINGS, lambda *step: heard.append(step))
    assert heard == [(0, 3, "raw"), (1, 3, "sentence"), (2, 3, "joint"), (3, 3, "")]
    return made


@pytest.fixture(scope="module")
def path(item, tmp_path_factory):
    return maps.keep(item, SETTINGS, tmp_path_factory.mktemp("maps") / "map.safetensors")


def units_of(seed=0, n=60, classes=4, width=16):
    """Directions of clips around class centres, then of these centres; and the clips' classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width)) * 3
    labels = np.arange(n) % classes
    return directions(np.concatenate([centres[labels] + rng.normal(size=(n, width)), centres]), "points"), labels


def test_the_chosen_classes_alone_are_fitted(item, drawn):
    names, joint = item.scores().class_names, item.clouds()[1]["joint"]
    chosen = sorted(names.index(name) for name in CLASSES)
    labels = np.array([names.index(label) for label in item.embeddings().labels])
    inside = np.flatnonzero(np.isin(labels, chosen))
    rows = inside[sample_rows(labels[inside], 24, np.random.default_rng(3))]
    np.testing.assert_array_equal(drawn.rows_N, rows)
    assert [(labels[rows] == index).sum() for index in chosen] == [8, 8, 8]
    for space, (videos_N2, prototypes_P2) in drawn.projections.items():
        assert videos_N2.shape == (24, 2) and prototypes_P2.shape == (3, 2)
        assert drawn.star_class[space].tolist() == chosen
    units = directions(np.concatenate([joint.videos_NE[rows], joint.prototypes_PE[chosen]]), "points")
    np.testing.assert_array_equal(np.concatenate(drawn.projections["joint"]), project(units, 5, 3))


def test_without_sentences_a_star_is_the_mean_clip(item, monkeypatch):
    given = []
    monkeypatch.setattr(maps, "project", lambda units, *_: given.append(units) or np.zeros((len(units), 2)))
    drawn = maps.draw(item, SETTINGS)
    assert drawn.means == {"raw"}
    raw, labels = item.clouds()[1]["raw"].videos_NE.astype(np.float64), item.embeddings().labels
    for star, index in zip(given[0][24:], drawn.star_class["raw"], strict=True):
        name = item.scores().class_names[index]
        mean = sum(raw[row] / np.linalg.norm(raw[row]) for row in drawn.rows_N if labels[row] == name)
        np.testing.assert_allclose(star, mean / np.linalg.norm(mean), atol=1e-6)
    prototypes = item.clouds()[1]["joint"].prototypes_PE[drawn.star_class["joint"]]
    np.testing.assert_array_equal(given[2][24:], directions(prototypes, "prototypes"))


def test_a_map_comes_back_from_its_file(path, drawn):
    back = maps.read(path)
    np.testing.assert_array_equal(back.rows_N, drawn.rows_N)
    assert back.means == drawn.means and list(back.projections) == ["raw", "sentence", "joint"]
    for space, projection in drawn.projections.items():
        np.testing.assert_array_equal(np.concatenate(back.projections[space]), np.concatenate(projection))
        np.testing.assert_array_equal(back.star_class[space], drawn.star_class[space])


def test_every_setting_has_a_file_of_its_own():
    assert MapSettings(4.0, sample=21).file_name("0123456789abcdef" * 4) == "0123456789abcdef-p4-s0-n21.safetensors"
    settings = [
        MapSettings(), MapSettings(perplexity=12.5), MapSettings(seed=1), MapSettings(sample=7),
        MapSettings(classes=("a", "b")), MapSettings(classes=("a", "c")),
    ]  # fmt: skip
    assert len({one.file_name("f" * 64) for one in settings}) == 6
    assert MapSettings(classes=("a", "b")).file_name("f") == MapSettings(classes=("b", "a")).file_name("f")


def test_what_cannot_be_drawn_is_refused(item):
    with pytest.raises(InputError, match="did you mean 'kicking a box'"):
        maps.draw(item, MapSettings(classes=("kicking a bx",)))
    with pytest.raises(InputError, match="without its clouds"):
        maps.draw(Scored.open(SHIPPED / "demo-colour@demo"), MapSettings())
    for change in ({"perplexity": 0}, {"perplexity": np.nan}, {"seed": -1}, {"sample": 0}):
        with pytest.raises(InputError, match="perplexity must be above 0"):
            MapSettings(**change)


def test_damaged_files_are_refused(path, tmp_path):
    arrays, described = read_arrays(path, "projections")
    path = tmp_path / "map.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        maps.read(path)
    changes = {"0.videos": arrays["0.videos"][:3]}, {"1.prototypes": np.zeros(2)}, {"0.rows": np.ones(4)}
    for changed, told in [*((arrays | change, described) for change in changes), (arrays, {}), ({}, described)]:
        write_arrays(path, "projections", changed, told)
        with pytest.raises(FormatError, match="damaged"):
            maps.read(path)


# Into the plane ---------------------------------------------------------------------------------------------------


def test_clips_lie_with_their_class_and_its_prototype():
    units, labels = units_of()
    placed = project(np.concatenate([units[:60:3], units[60:]]), perplexity=4, iterations=500)
    assert placed.shape == (24, 2) and placed.dtype == np.float32
    distance = np.linalg.norm(placed[:20, None] - placed[20:], axis=2)
    assert (distance.argmin(axis=1) == labels[::3]).all()


def test_it_is_scikit_learns_tsne():
    units, _ = units_of(1)  # 30 is more perplexity than 64 points allow
    expected = TSNE(perplexity=21, init="pca", random_state=3, max_iter=300, n_jobs=1).fit_transform(units)
    found = project(units, seed=3, iterations=300)
    np.testing.assert_array_equal(found, project(units, seed=3, iterations=300))
    assert trustworthiness(units, found) == pytest.approx(trustworthiness(units, expected), abs=0.02)


def test_the_number_of_threads_changes_nothing():
    """In processes of their own, since the first projection also loads the libraries that have threads."""
    code = """
import hashlib, numpy as np
from cezsar.analysis.maps import project
points = np.random.default_rng(0).normal(size=(150, 64))
print(hashlib.sha256(project(points, iterations=250).tobytes()).hexdigest())
"""
    found = set()
    for threads in "12":
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", code]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout)
    assert len(found) == 1


def test_wide_features_are_reduced_first():
    wide = units_of(3, n=80)[0] @ np.random.default_rng(0).normal(size=(16, 1500))
    units = directions(wide, "points")
    assert trustworthiness(units, project(units, 10, iterations=250), n_neighbors=5) > 0.85
    assert project(units[:20], iterations=250).shape == (20, 2)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_few_points_lie_on_their_principal_components(n):
    units = units_of(4)[0][:n]
    found = project(units)
    width = min(n, 2)
    expected = PCA(width).fit_transform(units) if n > 1 else np.zeros((1, 1))
    np.testing.assert_allclose(np.abs(found[:, :width]), np.abs(expected), atol=1e-5)
    if n <= 3:  # a plane holds three points as they are
        gaps = np.linalg.norm(found[:, None] - found, axis=2)
        np.testing.assert_allclose(gaps, np.linalg.norm(units[:, None] - units, axis=2), atol=1e-5)


def test_odd_input_has_an_answer():
    for width in (1, 6, 1500):
        assert not project(np.full((40, width), 0.1)).any()
    assert project(np.zeros((0, 4))).shape == (0, 2)
    units, _ = units_of(5, n=30)
    units[:10] = 0
    two_spots = project(np.repeat(np.eye(2), 20, axis=0), iterations=250)
    one_wide = project(np.sign(np.linspace(-1, 1, 12))[:, None])
    for found in (project(units, iterations=250), two_spots, one_wide, project(units[10:15], iterations=250)):
        assert np.isfinite(found).all() and found.any()
    spots = two_spots.reshape(2, 20, 2)
    centre = spots.mean(axis=1)
    assert np.linalg.norm(spots - centre[:, None], axis=2).max() < np.linalg.norm(centre[0] - centre[1])


@pytest.mark.parametrize("most", [0, 1, 3, 17, 59, 60, 1000])
def test_samples_are_as_even_over_classes_as_can_be(most):
    sizes = [1, 4, 9, 16, 30]
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(-1, 4), sizes))
    for seed in range(5):
        rows = sample_rows(labels, most, np.random.default_rng(seed))
        assert len(rows) == min(most, 60) and (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, sample_rows(labels, most, np.random.default_rng(seed)))
        taken = [(labels[rows] == c).sum() for c in range(-1, 4)]
        assert all(max(taken) - count <= 1 for count, size in zip(taken, sizes, strict=True) if count < size)


def test_the_classes_of_the_last_few_are_drawn():
    drawn = {int(sample_rows(np.arange(9), 1, np.random.default_rng(seed))[0]) for seed in range(40)}
    assert len(drawn) > 4


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
    np.testing.assert_allclose(place([3, 3], videos[:1], positions[:1]), positions[0])
    for clip in ([1, 0, 0], [1, np.nan]):
        with pytest.raises(InputError):
            place(clip, videos, positions)
