"""`cezsar shots`, against the library."""

import numpy as np
import pandas as pd

from cezsar.workspace import ASSETS
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.shots import shots


def test_the_command_prints_and_writes_the_table(cezsar, tmp_path):
    kept = Scored.open(ASSETS / "demo" / "scores" / "demo@demo")
    status, said, _ = cezsar(
        "shots", str(kept.folder), "--examples", "0", "--examples", "2", "--out", str(tmp_path / "t.csv")
    )
    assert status == 0
    lines = [line for line in said.splitlines() if line[:1] in "02" and "." in line]
    assert len(lines) == 2 and "78.2 ± " in lines[0] and lines[1].split()[1] == "0.67"
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["examples a class"].tolist() == [0, 2] and np.isnan(table["examples"][0])
    expected = shots(kept.embeddings(), kept.weights, counts=[0, 2])
    np.testing.assert_allclose(table["blend"], expected.top1["blend"].mean(axis=0))
    assert "94.9" in (tmp_path / "t.md").read_text() and r"\pm" in (tmp_path / "t.tex").read_text()
    report = (tmp_path / "t.html").read_text()
    assert "What an example is worth" in report and "examples a class" in report and "not zero-shot" in report
