"""Each property on a few inputs, the same ones each time."""

import pytest
from properties import PROPERTIES, tried


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds(name):
    assert tried(name, 20, derandomize=True) > 0
