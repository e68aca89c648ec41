"""Results are made again from their records; what differs is said, and a stranger's record runs nothing else."""

import json
import shutil

import pytest

from cezsar.formats import versions


@pytest.fixture
def given(small_demo, workspace, tmp_path, monkeypatch):
    """A copy of what an evaluation reads, in a folder of its own, and the options that name it."""
    shutil.copytree(workspace / "runs/demo", tmp_path / "run")
    shutil.copytree(workspace / "features/demo-test", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    return ["--dataset", "demo", "--store", "store", "--run", "run"]


@pytest.mark.parametrize(("verb", "more"), [
    ("evaluate", ["--protocol", "half", "--runs", 3]), ("compare", ["--resamples", 20]), ("analyse", ["--runs", 2]),
])  # fmt: skip
def test_a_result_is_made_again(cezsar, given, tmp_path, verb, more):
    own = given if verb != "analyse" else ["run", *given[:4]]
    suffix = ".html" if verb == "analyse" else ".json"
    assert cezsar(verb, *own, *more, "--out", f"first{suffix}")[0] == 0
    record = json.loads((tmp_path / "first.json").read_text())["record"]
    assert record["versions"] == versions() and "--out" not in record["arguments"]
    before = sorted(tmp_path.iterdir())
    status, out, _ = cezsar("rerun", "first.json")
    told = "what went in: the same\nversions: the same\ndevice: the same\nresult: the same\n"
    assert status == 0 and out.startswith(f"$ cezsar {verb} ") and out.endswith(told)
    assert sorted(tmp_path.iterdir()) == before  # nothing was written
    assert cezsar("rerun", "first.json", "--out", "again.json")[0] == 0
    for path in tmp_path.glob("first.*"):  # byte for byte, the pictures of the report, too
        assert path.read_bytes() == path.with_name(f"again{path.suffix}").read_bytes(), path


def test_what_differs_is_said(cezsar, given, tmp_path):
    cezsar("evaluate", *given, "--out", "r.json")
    result = json.loads((tmp_path / "r.json").read_text())
    changed = json.loads(json.dumps(result))
    changed["record"]["versions"] |= {"torch": "1.0", "gone": "2"}
    changed["results"][0]["runs"][0]["top1"] += 0.25
    changed["results"][1]["protocol"] = "other"
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    status, out, _ = cezsar("rerun", "changed.json")
    torch = versions()["torch"]
    assert status == 1 and f"versions: differs: torch 1.0, now {torch}; gone 2, now nothing" in out
    assert "result: 1 numbers differ, by 0.25 at the most and 1 other values differ" in out
    assert "results.0.runs.0.top1: " in out and "results.1.protocol: other, now all" in out
    config = json.loads((tmp_path / "run/config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps(config | {"fusion": config["fusion"] | {"alpha": 0.5}}))
    status, out, _ = cezsar("rerun", "r.json", "--tolerance", 10)
    assert status == 1 and "what went in: differs: run " in out and "result: the same" in out
    shutil.rmtree(tmp_path / "store")
    status, _, err = cezsar("rerun", "r.json")
    assert status == 2 and "store is not a folder" in err


@pytest.mark.parametrize("arguments", [
    None, "evaluate", ["evaluate", 3], ["train", "t", "--out", "x"], ["rerun", "r.json"], ["evaluate", "--out=x.json"],
    ["evaluate", "--dataset", "demo", "--keep"], ["tau", "--json=x.json", "demo"], ["evaluate", "--help"],
    ["evaluate; touch x"], ["evaluate", "--dataset", "demo", "--oracle"], ["evaluate", "--dataset", "$(touch x)"],
])  # fmt: skip
def test_a_record_of_a_stranger_runs_nothing_else(cezsar, workspace, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    record = {"arguments": arguments, "versions": {}, "inputs": {}} if arguments else "none"
    (tmp_path / "r.json").write_text(json.dumps({"cezsar": "results", "version": 1, "results": [], "record": record}))
    before = sorted(workspace.rglob("*"))
    status, _, err = cezsar("rerun", "r.json")
    assert status == 2 and err
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"] and sorted(workspace.rglob("*")) == before
