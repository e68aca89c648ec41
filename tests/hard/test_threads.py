"""With another number of threads training rounds otherwise, within a bound."""

import numpy as np
from safetensors.numpy import load_file
from test_determinism import first, made  # noqa: F401 (a fixture)

from cezsar.zeroshot.evaluation import load_all


def test_another_number_of_threads_moves_weights_and_figures_little(small_demo, first, tmp_path, row):  # noqa: F811
    other = made(small_demo[0], tmp_path / "two", 3, 2)
    one, two = (load_file(folder / "triplets.safetensors") for folder in (first, other))
    np.testing.assert_allclose(one.pop("vectors"), two.pop("vectors"), atol=1e-6)
    np.testing.assert_equal(one, two)
    one, two = (load_file(folder / "run/model.safetensors") for folder in (first, other))
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 1e-2
    results = [load_all(folder / "result.json") for folder in (first, other)]
    apart = [abs(was.figure().mean - now.figure().mean) for was, now in zip(*results, strict=True)]
    row("figures with one thread and with two", tried=len(apart), lost=sum(each >= 0.02 for each in apart))
    assert max(apart) < 0.02
