"""Long work that is killed, hindered and shared, many times: nothing half stands under a good name, the same command
goes on, and the end is that of a run that nothing disturbed."""

import subprocess

import numpy as np
import pytest
from stages import ENDS, STAGES, content, kill

from cezsar.data.features import FeatureStore
from cezsar.errors import FormatError

KILLS, IN_A_ROW, TRIES = 50, 5, 5
HOW = ("group", "terminated", "alone")


@pytest.fixture(params=STAGES)
def work(request, stage):
    return stage(request.param)


def ends_as(wanted, work, lost, after):
    """Start again without hindrance, and note what is not as it should be."""
    status, said = work.end()
    found = {name: each for name, each in content(work.out).items() if "-saved" not in name}
    if status != ENDS.get(work.name, 0):
        lost.append(f"{after}: ended with status {status}: {said}")
    lost.extend(f"{after}: {name}" for name in wanted | found if found.get(name) != wanted.get(name))


def test_kills_at_random_moments(work, hard_seed, row):
    """With SIGKILL or SIGTERM, decoders with it or left to end by themselves; up to five times before it may end."""
    wanted, seconds, _ = work.undisturbed()
    rng, kills, lost = np.random.default_rng([hard_seed, *work.name.encode()]), 0, []
    while kills < KILLS:
        for _ in range(IN_A_ROW):
            process, how = work.start(), HOW[kills % 3]
            process.join(rng.uniform(0, seconds))
            killed, gone = kill(process, how)
            kills += killed
            content(work.out)  # raises where a file is half
            lost += [f"kill {kills}, {how}: a process lives on"] * (not gone)
            if not killed or kills == KILLS:
                break
        ends_as(wanted, work, lost, f"kill {kills}")
        work.clear()
    row(f"{work.name}: killed", tried=kills, lost=len(lost))
    assert not lost


def test_full_disks(work, hard_seed, row):
    """Of every size up to what the work takes; then there is room."""
    wanted, _, sizes = work.undisturbed()
    rng, lost, tries, refused = np.random.default_rng([hard_seed, *work.name.encode()]), [], TRIES, 0
    for _ in range(tries):
        room = 4096 * max(4, int(rng.uniform(0, sum(sizes)) // 4096))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "none", work.out]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("file systems can be mounted by root alone, and not in every container")
        try:
            status, said = work.end()
            refused += status == 2
            if status not in (2, ENDS.get(work.name, 0)) or (status == 2 and "No space left" not in said):
                lost.append(f"{room:,} bytes: status {status}: {said}")
            content(work.out)
            subprocess.run(["mount", "-o", "remount,size=2g", work.out], check=True)
            ends_as(wanted, work, lost, f"{room:,} bytes")
        finally:
            subprocess.run(["umount", "-l", work.out], check=True)
    row(f"{work.name}: disk full", tried=tries, lost=len(lost), refused=refused, accepted=tries - refused)
    assert not lost


def test_places_that_cannot_be_written_any_more(work, hard_seed, row):
    """From the beginning, or from a random moment on: the mode of every folder; then it can."""
    wanted, seconds, _ = work.undisturbed()
    rng, lost, tries, refused = np.random.default_rng([hard_seed, *work.name.encode()]), [], TRIES, 0
    for number in range(tries):
        moment = rng.uniform(0, seconds) if number else 0
        if not number:
            work.out.chmod(0o555)
        process = work.start()
        process.join(moment)
        folders = [work.out, *(path for path in work.out.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        status, said = work.end(process)
        for folder in folders:
            folder.chmod(0o755)
        refused += status == 2
        wrong = "Permission denied" not in said and "cannot be written" not in said
        if status not in (2, ENDS.get(work.name, 0)) or (status == 2 and wrong):
            lost.append(f"after {moment:.2f} s: status {status}: {said}")
        content(work.out)
        ends_as(wanted, work, lost, f"after {moment:.2f} s")
        work.clear()
    row(f"{work.name}: permission lost", tried=tries, lost=len(lost), refused=refused, accepted=tries - refused)
    assert not lost


def test_two_at_once_into_one_place(work, hard_seed, row):
    """The second is refused, or does the same as the first; the first goes on."""
    wanted, seconds, _ = work.undisturbed()
    rng, lost, tries, refused = np.random.default_rng([hard_seed, *work.name.encode()]), [], TRIES, 0
    for _ in range(tries):
        first = work.start()
        first.join(rng.uniform(0, seconds / 2))
        second = work.start()
        statuses = [work.end(process)[0] for process in (first, second)]
        refused += 2 in statuses
        if not set(statuses) <= {2, ENDS.get(work.name, 0)} or statuses == [2, 2]:
            lost.append(f"ended with statuses {statuses}")
        ends_as(wanted, work, lost, f"statuses {statuses}")
        work.clear()
    row(f"{work.name}: two at once", tried=tries, lost=len(lost), refused=refused, accepted=tries - refused)
    assert not lost


def test_a_clock_that_goes_backwards(work, row):
    wanted, *_ = work.undisturbed()
    lost = []
    work.end(clock=True)
    ends_as(wanted, work, lost, "clock")
    row(f"{work.name}: clock set back", tried=1, lost=len(lost))
    assert not lost


def test_a_store_that_is_read_while_it_is_written(stage, row):
    """Films are extracted, changed and extracted again while this process reads: what it gets is whole."""
    work = stage("extraction")
    work.undisturbed()
    work.end()
    whole, store = FeatureStore(work.out / "store"), work.out / "store"
    wanted, reads, lost, again, times = {id: whole.features(id) for id in whole}, 0, [], 0, 5
    for _ in range(times):
        work.clear()
        process = work.start()
        while process.is_alive():
            try:
                found = FeatureStore(store)
                for id in found:
                    if not np.array_equal(found.features(id), wanted[id]):
                        lost.append(f"{id} is another")
            except FormatError as error:
                again += 1
                if "has changed since" not in str(error) and "holds no feature shards" not in str(error):
                    lost.append(str(error))
            except Exception as error:
                if "is not a folder" not in str(error):
                    lost.append(repr(error))
            reads += 1
    said = f"{reads:,} reads, {again:,} of them refused by name"
    row("a store read while it is written", tried=times, lost=len(lost), said=said)
    assert not lost
