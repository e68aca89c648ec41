"""Projections: neighbourhoods are kept, degenerate input has an answer, progress is told, files come back."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from cezsar.analysis.projection import Projection, load, place, project, sample_rows, save
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.storage import read_arrays, write_arrays

ROOT = Path(__file__).resolve().parents[2]


def clusters(seed=0, n=60, classes=4, width=16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width)) * 3
    labels = np.arange(n) % classes
    return (centres[labels] + rng.normal(size=(n, width))).astype(np.float32), labels, centres.astype(np.float32)


def test_clips_lie_with_their_class_and_its_prototype():
    videos, labels, centres = clusters()
    rows = np.arange(0, 60, 3)
    found = project("joint", videos, centres, rows, perplexity=4, iterations=500)
    assert found.videos_N2.shape == (20, 2) and found.prototypes_P2.shape == (4, 2)
    assert found.videos_N2.dtype == found.prototypes_P2.dtype == np.float32
    assert (found.space, found.perplexity, found.seed, found.reduced_to) == ("joint", 4.0, 0, None)
    np.testing.assert_array_equal(found.rows_N, rows)
    assert 0 < found.kl < 2
    distance = np.linalg.norm(found.videos_N2[:, None] - found.prototypes_P2, axis=2)
    assert (distance.argmin(axis=1) == labels[rows]).all()


def test_it_is_scikit_learns_tsne_of_the_unit_vectors():
    videos, _, centres = clusters(1)
    found = project("joint", videos * 100, centres, np.arange(60), seed=3, iterations=300)
    points = np.concatenate([videos, centres]).astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert found.perplexity == 63 / 3  # 30 is more than 64 points allow
    tsne = TSNE(perplexity=21, init="pca", random_state=3, max_iter=300, n_jobs=1).fit(points.astype(np.float32))
    assert found.kl == pytest.approx(tsne.kl_divergence_, abs=0.05)


def test_the_seed_decides_and_progress_changes_nothing():
    videos, _, centres = clusters(2)
    a = project("joint", videos, centres, np.arange(60), iterations=250)
    b = project("joint", videos, centres, np.arange(60), iterations=250, on_progress=lambda done, total: None)
    np.testing.assert_array_equal(a.videos_N2, b.videos_N2)
    np.testing.assert_array_equal(a.prototypes_P2, b.prototypes_P2)
    assert a.kl == b.kl


def test_the_number_of_threads_changes_nothing():
    """In processes of their own, since the first projection also loads the libraries that have threads."""
    code = """
import hashlib, numpy as np
from cezsar.analysis.projection import project
points = np.random.default_rng(0).normal(size=(150, 64))
print(hashlib.sha256(project("joint", points, None, np.arange(150), iterations=250).videos_N2.tobytes()).hexdigest())
"""
    found = set()
    for threads in "12":
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", code]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout)
    assert len(found) == 1


def test_wide_features_are_reduced_first():
    rng = np.random.default_rng(0)
    wide = clusters(3, n=80)[0] @ rng.normal(size=(16, 1500)).astype(np.float32)
    found = project("features", wide, None, np.arange(80), perplexity=10, iterations=250)
    assert found.reduced_to == 50 and found.prototypes_P2.shape == (0, 2) and found.perplexity == 10
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert trustworthiness(units, found.videos_N2, n_neighbors=5) > 0.85
    assert project("features", wide, None, np.arange(20), iterations=250).reduced_to == 19


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_few_points_lie_on_their_principal_components(n):
    videos = clusters(4, n=4)[0]
    seen = []
    found = project("joint", videos[:n], None, np.arange(n), on_progress=lambda *step: seen.append(step))
    assert (found.perplexity, found.kl, seen) == (0.0, 0.0, [(1000, 1000)])
    units = videos[:n] / np.linalg.norm(videos[:n], axis=1, keepdims=True)
    width = min(n, 2)
    expected = PCA(width).fit_transform(units) if n > 1 else np.zeros((1, 1))
    np.testing.assert_allclose(np.abs(found.videos_N2[:, :width]), np.abs(expected), atol=1e-5)
    gaps = np.linalg.norm(found.videos_N2[:, None] - found.videos_N2, axis=2)
    if n <= 3:  # a plane holds three points as they are
        np.testing.assert_allclose(gaps, np.linalg.norm(units[:, None] - units, axis=2), atol=1e-5)


@pytest.mark.parametrize("width", [1, 6, 1500])
@pytest.mark.parametrize("value", [0, 3])
def test_points_that_are_all_the_same_lie_on_the_origin(width, value):
    found = project("joint", np.full((40, width), value), np.full((3, width), value), np.arange(40))
    assert not found.videos_N2.any() and not found.prototypes_P2.any()
    assert (len(found.videos_N2), len(found.prototypes_P2), found.perplexity, found.kl) == (40, 3, 0.0, 0.0)


def test_odd_input_has_an_answer():
    nothing = project("joint", np.zeros((9, 4)), None, [])
    assert nothing.videos_N2.shape == nothing.prototypes_P2.shape == (0, 2)
    only_prototypes = project("joint", np.zeros((9, 4)), np.eye(4), [])
    assert only_prototypes.prototypes_P2.shape == (4, 2) and only_prototypes.prototypes_P2.any()
    videos, _, centres = clusters(5, n=30)
    videos[:10], centres[0] = 0, 0
    some_zero = project("joint", videos, centres, np.arange(30), iterations=250)
    two_spots = project("joint", np.repeat(np.eye(2), 20, axis=0), None, np.arange(40), iterations=250)
    one_wide = project("joint", np.linspace(-1, 1, 12)[:, None], None, np.arange(12), iterations=250)
    five = project("joint", videos[10:15], None, np.arange(5), iterations=250)
    for found in (some_zero, two_spots, one_wide, five):
        assert np.isfinite(found.videos_N2).all() and np.isfinite(found.kl) and found.videos_N2.any()
    assert five.perplexity == pytest.approx(4 / 3)
    spots = two_spots.videos_N2.reshape(2, 20, 2)
    centre = spots.mean(axis=1)
    assert np.linalg.norm(spots - centre[:, None], axis=2).max() < np.linalg.norm(centre[0] - centre[1])


def test_progress_counts_up_and_nothing_is_printed(capsys):
    videos, _, centres = clusters(6)
    seen = []
    before = sys.stdout
    project("joint", videos, centres, np.arange(60), iterations=400, on_progress=lambda *step: seen.append(step))
    assert seen == [(done, 400) for done in range(50, 401, 50)]
    assert sys.stdout is before and capsys.readouterr().out == ""


def test_the_callback_may_print_and_may_stop_the_fit(capsys):
    videos = clusters(7)[0]

    def stop(done, total):
        sys.stdout.write(f"[t-SNE] Iteration {done}: error of mine\n")
        if done == 100:
            raise KeyError("enough")

    before = sys.stdout
    with pytest.raises(KeyError, match="enough"):
        project("joint", videos, None, np.arange(60), on_progress=stop)
    assert sys.stdout is before
    assert capsys.readouterr().out.count("error of mine") == 2
    project("joint", videos, None, np.arange(60), iterations=250)  # nothing is left locked


def test_threads_do_not_disturb_each_other(capsys):
    videos = clusters(8)[0]
    steps = {name: [] for name in "ab"}
    first_step, before = threading.Event(), sys.stdout

    def work(name):
        def note(done, total):
            steps[name].append(done)
            first_step.set()

        project("joint", videos, None, np.arange(60), iterations=300, on_progress=note)

    threads = [threading.Thread(target=work, args=(name,)) for name in steps]
    for thread in threads:
        thread.start()
    first_step.wait(20)
    sys.stdout.write("said meanwhile\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()
    assert steps == {name: [50, 100, 150, 200, 250, 300] for name in "ab"}
    assert sys.stdout is before and capsys.readouterr().out == "said meanwhile\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"perplexity": 0}, "perplexity must be above 0"),
        ({"perplexity": np.nan}, "perplexity must be above 0"),
        ({"iterations": 249}, "at least 250"),
        ({"seed": -1}, "the seed from 0"),
        ({"rows_N": [60]}, "not all among the clips"),
        ({"rows_N": [-1]}, "not all among the clips"),
        ({"videos_NE": np.zeros(5)}, "not all among the clips"),
        ({"prototypes_PE": np.ones((2, 5))}, "clips have 16 dimensions and prototypes 5"),
        ({"videos_NE": np.full((60, 16), np.inf)}, "row 0 of the clips of space 'joint'"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    videos, _, centres = clusters()
    arguments = {"space": "joint", "videos_NE": videos, "prototypes_PE": centres, "rows_N": np.arange(60)} | change
    with pytest.raises(InputError, match=message):
        project(**arguments)


def counts(rows, labels):
    return [int((labels[rows] == label).sum()) for label in np.unique(labels)]


def test_samples_are_even_over_classes():
    labels = np.random.default_rng(0).permutation(np.repeat([-1, 0, 1, 2], [50, 3, 20, 7]))
    rows = sample_rows(labels, 30, np.random.default_rng(1))
    assert counts(rows, labels) == [10, 3, 10, 7]
    assert (np.diff(rows) > 0).all()
    assert counts(sample_rows(labels, 40, np.random.default_rng(1)), labels) == [15, 3, 15, 7]
    np.testing.assert_array_equal(rows, sample_rows(labels, 30, np.random.default_rng(1)))
    np.testing.assert_array_equal(sample_rows(labels, 80, np.random.default_rng(1)), np.arange(80))
    np.testing.assert_array_equal(sample_rows(labels, 1000, np.random.default_rng(1)), np.arange(80))
    assert sample_rows([], 5, np.random.default_rng(1)).shape == (0,)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 17, 31, 59])
def test_no_class_gets_two_more_than_one_that_has_clips_left(most):
    labels = np.repeat(np.arange(5), [1, 4, 9, 16, 30])
    for seed in range(5):
        taken = counts(sample_rows(labels, most, np.random.default_rng(seed)), labels)
        assert sum(taken) == most
        lacking = [taken[c] for c, size in enumerate([1, 4, 9, 16, 30]) if taken[c] < size]
        assert max(taken) - min(lacking) <= 1


def test_the_classes_of_the_last_few_are_drawn():
    drawn = {int(sample_rows(np.arange(9), 1, np.random.default_rng(seed))[0]) for seed in range(40)}
    assert len(drawn) > 4
    with pytest.raises(InputError, match="at least 1"):
        sample_rows([0, 1], 0, np.random.default_rng(0))


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


@pytest.mark.parametrize(
    "arguments",
    [
        ([1, 0], np.zeros((0, 2)), np.zeros((0, 2))),
        ([1, 0, 0], np.eye(2), np.zeros((2, 2))),
        ([1, 0], np.eye(2), np.zeros((3, 2))),
        ([1, 0], np.eye(2), np.zeros((2, 2)), 0),
        ([1, np.nan], np.eye(2), np.zeros((2, 2))),
    ],
)
def test_a_clip_that_cannot_be_placed_is_refused(arguments):
    with pytest.raises(InputError):
        place(*arguments)


def some():
    rng = np.random.default_rng(0)
    a = Projection("joint", rng.random((4, 2), np.float32), rng.random((2, 2), np.float32), np.arange(4), 7.5, 3, 0.25)
    b = Projection("features", rng.random((3, 2), np.float32), np.zeros((0, 2), np.float32), np.arange(3), 0, 0, 0, 50)
    return [a, b]


def test_what_was_saved_comes_back(tmp_path):
    about = {"run": "abc", "labels": ["Übung", ""], "most": 2000}
    save(some(), tmp_path / "projections.safetensors", about)
    found, told = load(tmp_path / "projections.safetensors")
    assert told == about and len(found) == 2
    for one, other in zip(some(), found, strict=True):
        for name in ("videos_N2", "prototypes_P2", "rows_N"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("space", "perplexity", "seed", "kl", "reduced_to"):
            assert getattr(one, name) == getattr(other, name)
    save([], tmp_path / "none.safetensors", {})
    assert load(tmp_path / "none.safetensors") == ([], {})


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "projections.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        load(path)
    save(some(), path, {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="damaged"):
        load(path)
    save(some(), path, {})
    arrays, described = read_arrays(path, "projections")
    for change in ({"0.videos": arrays["0.videos"][:3]}, {"1.prototypes": np.zeros(2)}, {"0.rows": np.ones(4)}):
        write_arrays(path, "projections", arrays | change, described)
        with pytest.raises(FormatError, match="damaged"):
            load(path)
    for wrong in ({"projections": [{}, {}, {}], "about": {}}, {"projections": described["projections"]}, {}):
        write_arrays(path, "projections", arrays, wrong)
        with pytest.raises(FormatError, match="damaged"):
            load(path)
    write_arrays(path, "scores", arrays, described)
    with pytest.raises(FormatError, match="should hold projections"):
        load(path)
