"""Each property on many inputs."""

import hypothesis
import pytest
from properties import PROPERTIES, tried


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds_many_times(name, hard_seed, row):
    row(name.replace("_", " "), tried=tried(name, 500, hypothesis.seed(hard_seed)), lost=0)
