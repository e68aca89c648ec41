"""`cezsar project`: from a scored data set to a map on disk."""

import numpy as np

from cezsar.analysis import maps
from cezsar.workspace import ASSETS
from cezsar.zeroshot.scored import Scored

SHIPPED = ASSETS / "demo/scores/demo@demo"


def test_a_map_of_chosen_classes(cezsar, home, tmp_path):
    out = tmp_path / "figure.safetensors"
    typed = 'Kicking a box, "dragging a box"'
    status, said, err = cezsar("project", SHIPPED, "--classes", typed, "--perplexity", 6, "--seed", 2, "--out", out)
    assert status == 0 and said == f"wrote {out}\n"
    assert "t-SNE: 0 of 3, raw" in err and err.splitlines()[-1] == "t-SNE: 3 of 3"
    item = Scored.open(SHIPPED)
    settings = maps.MapSettings(6, 2, 3000, ("kicking a box", "dragging a box"))
    expected, found = maps.draw(item, settings), maps.read(out)
    for space, projection in expected.projections.items():
        np.testing.assert_array_equal(found.projections[space].videos_N2, projection.videos_N2)
