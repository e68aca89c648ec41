"""Long work that is stopped once and hindered once: nothing half stands under a good name, and it ends as if nothing
had been. Many times: tests/hard/test_disturbed_work.py."""

import os

import numpy as np
import pytest
from stages import ENDS, STAGES, content, kill

from cezsar.data.features import FeatureStore


@pytest.mark.parametrize("name", STAGES)
def test_out_of_room_once_and_then_killed_once(name, stage):
    work, rng = stage(name), np.random.default_rng(len(name))
    wanted, seconds, sizes = work.undisturbed()
    status, said = work.end(file_bytes=min(max(sizes) // 2, 4096))
    assert status == 2 and said.startswith("cezsar: ") and ("File too large" in said or "No space left" in said)
    content(work.out)
    process = work.start()
    process.join(rng.uniform(0, seconds))
    assert kill(process, rng.choice(["group", "terminated", "alone"]))[1]
    content(work.out)
    assert work.end()[0] == ENDS.get(name, 0)
    found = content(work.out)
    assert {key for key in found | wanted if found.get(key) != wanted.get(key) and "-saved" not in key} == set()


def test_what_is_done_when_it_is_told_to_end_is_kept(stage):
    work = stage("extraction")
    work.clear()
    process, said = work.start(), b""
    while b"6 of 10" not in said:
        said += os.read(process.said.fileno(), 1 << 20)
    assert kill(process, "terminated") == (True, True)
    assert len(FeatureStore(work.out / "store")) >= 4
    assert not any(".tmp-" in name for name in content(work.out))
    assert "stopped" in os.read(process.said.fileno(), 1 << 20).decode()
