"""The library: what is here, how to get more, and what can be removed."""

import json

import numpy as np
import pytest
from conftest import ACTIONS, button, open_page, texts

from app import state
from app.library import descriptions
from app.parts import holdings, labels, models
from cezsar import encoders, jobs, world
from cezsar.atomic import write_json
from cezsar.data import datasets
from cezsar.data.descriptions import load_descriptions, parse_classes, save_descriptions
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.prototype_checks import check
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import CezsarError, FormatError, InputError


def shown(section, **query):
    page = open_page("library", section=state.SECTIONS[section], **query)
    assert not page.exception, page.exception
    return page


def table(page, number=0):
    return page.dataframe[number].value.to_dict("records")


@pytest.fixture
def store(empty_workspace):
    """features/mine: two videos of three and five seconds."""
    told = {"encoder": "motion", "fingerprint": "f", "dim": 4, "fps": 1.0, "domain": "none"}
    with StoreWriter(empty_workspace / "features" / "mine", told) as writer:
        for name, seconds in (("a", 3), ("b", 5)):
            writer.add(name, np.ones((seconds, 4), np.float32), label="x")
    return empty_workspace / "features" / "mine"


@pytest.mark.parametrize("section", list(state.SECTIONS))
def test_every_section_with_an_empty_workspace(empty_workspace, section):
    page = shown(section)
    assert not page.error
    said = texts(page) + " ".join(str(row) for frame in page.dataframe for row in frame.value.to_dict("records"))
    told = {
        "data": "came with the software; its clips are drawn when looked at",
        "stores": "No features", "trained": "came with the software", "encoders": "clip",
        "words": f"{len(world.DESCRIPTIONS)} classes", "workshop": "What it takes clips from", "disk": "workspace is",
    }  # fmt: skip
    assert told[section] in said


def test_stores_say_what_they_hold(store, monkeypatch):
    def busy(*_):
        raise FormatError("shard-00000.h5 cannot be read: too many open files")

    with monkeypatch.context() as once:  # what fails for a moment is read again
        once.setattr(FeatureStore, "__init__", busy)
        (row,) = table(shown("stores"))
    assert "too many open files" in row["note"]
    (row,) = table(shown("stores"))
    assert {"name": "mine", "videos": 2, "seconds": 8, "encoder": "motion", "note": ""}.items() <= row.items()
    (store / "shard-00000.h5").write_bytes(b"damaged")
    (row,) = table(shown("stores"))
    assert "shard-00000" in row["note"]


def test_what_the_workspace_holds_hides_what_is_shipped(workspace):
    page = shown("trained")
    rows = {row["name"]: row for row in table(page)}
    assert rows["demo"]["trained on"] == "three drawn clips" and rows["demo"]["place"] == "the workspace"
    assert rows["demo-colour"]["place"] == "came with the software"
    scored = {row["name"]: row for row in table(page, 1)}
    assert (scored["demo@demo"]["clips"], scored["demo@demo"]["classes"]) == (420, 21)
    (row,) = [row for row in table(shown("data")) if row["name"] == "demo"]
    assert (row["clips"], row["classes"], row["place"]) == (3, len(ACTIONS), "the workspace")


def test_data_sets_are_named_refused_and_forgotten(empty_workspace, clips):
    folder = clips[0] / "test"
    page = shown("data")
    page.text_input(key="register-name").set_value("my clips")
    page.text_input(key="register-source").set_value(str(folder))
    button(page, "Add").click().run()
    assert not page.error, page.error
    found = [(row["name"], row["clips"], row["classes"]) for row in table(page)]
    assert found == [("demo", 420, 21), ("my clips", 3, len(ACTIONS))]
    assert datasets.registered() == {"my clips": str(folder)}
    with pytest.raises(InputError, match="already"):
        datasets.register("my clips", str(folder))
    button(page, "Take off").click().run()
    assert datasets.registered() == {} and folder.is_dir()
    write_json(empty_workspace / "data" / "datasets.json", {"gone": "/no/such/place"})
    assert "there is no /no/such/place" in table(shown("data"))[1]["note"]


def test_extraction_is_a_job(empty_workspace, clips, started):
    folder, _ = clips
    datasets.register("mine", str(folder / "test"))
    page = shown("stores")
    page.text_input(key="extract-name").set_value("../outside")
    button(page, "Extract").click().run()
    assert "cannot be a name" in texts(page) and not started
    page.text_input(key="extract-name").set_value("mine-motion")
    button(page, "Extract").click().run()
    (job,), out = started, empty_workspace / "features" / "mine-motion"
    wanted = ["extract", str(folder / "test"), "--encoder", "efficientnet", "--out", str(out)]
    assert job.kind == "extract" and job.steps[0].arguments[:6] == wanted


def test_encoders_and_their_fetching(empty_workspace, started):
    page = shown("encoders")
    absent = [status.name for status in encoders.CARDS.values() if not status.present]
    fetches = [each.label for each in page.button if each.label.startswith("Fetch")]
    assert len(fetches) == len(absent) == sum(bool(card.repository) for card in encoders.CARDS.values())
    said = texts(page)
    assert "1.8 GB. Licence Apache-2.0; 65.6% top-1 on Kinetics-400, zero-shot (Bolya et al. 2025" in said
    button(page, "Fetch bit (1.3 GB, licence Apache-2.0)").click().run()
    assert started[-1].steps[0].arguments == ["fetch", "--", "bit"]
    page.text_input(key="other-encoder").set_value("minilm").run()
    assert "minilm is here" in texts(page)
    page.text_input(key="other-encoder").set_value("clip:some-other").run()
    button(page, "Fetch some-other (size not known, licence not known)").click().run()  # there is no hub to ask
    assert started[-1].steps[0].arguments == ["fetch", "--", "clip:some-other"]


def test_a_copy_of_descriptions_is_saved(empty_workspace):
    page = shown("words", described="run demo")
    prototypes = load_descriptions(models.SHIPPED / "runs" / "demo" / "prototypes.json")
    assert {row["class"] for row in table(page)} == set(prototypes)
    page.text_input(key="save-as-run demo").set_value("mine")
    for _ in range(2):  # one's own are saved in place
        button(page, "Save").click().run()
        assert not page.exception and not page.error
        assert load_descriptions(labels.own_folder() / "mine.json") == prototypes
        assert page.selectbox(key=state.DESCRIBED).value == "mine: mine"
    page.text_input(key="save-as-mine: mine").set_value("ucf101")
    button(page, "Save").click().run()
    assert "ready-made" in texts(page)


def test_what_is_wrong_with_descriptions_is_listed(empty_workspace):
    alike = "Arms push the body up from the floor."
    described = {"PushUps": [alike], "pull ups": [alike.lower()[:-1]], "rowing": ["rowing"]}
    good = {"juggling": ["Three balls fly in circles above two hands."]}
    descriptions.save("mine", described | good)
    page = shown("words", described="mine: mine")
    page.selectbox(key=state.CHECKED_FOR).set_value("ucf101")
    page.button(key="check").click().run()
    report = check(labels.own_folder() / "mine.json", "ucf101", encoder=open_encoder())
    said = texts(page)
    assert f"**{len(report.findings):,} findings.** 4 sentences for 4 classes; the data set has 101." in said
    assert len(report.findings) == 98 + 1 + 1 + 1  # missing, unknown, with the same sentence, by its name
    assert all(finding.what in said for finding in report.findings)
    descriptions.save("mine", good, replace=True)
    page.selectbox(key=state.CHECKED_FOR).set_value("").run()
    assert "findings" not in texts(page)  # what was saved since has not been checked
    page.button(key="check").click().run()
    assert "Nothing wrong was found" in page.success[0].value


def test_edited_rows_are_descriptions_and_saving_refuses_what_would_be_lost(empty_workspace):
    rows = [{"class": " a", "sentence": "x"}, {"class": "b", "sentence": "y"}, {"class": "a", "sentence": "z"}]
    assert descriptions.of_rows([*rows, {"class": None, "sentence": None}]) == {"a": ["x", "z"], "b": ["y"]}
    descriptions.save("mine", {"a": ["x"]})
    with pytest.raises(InputError, match="already"):
        descriptions.save("mine", {"b": ["y"]})
    with pytest.raises(FormatError, match="no description"):
        descriptions.save("mine", {"b": [" "]}, replace=True)
    assert load_descriptions(labels.own_folder() / "mine.json") == {"a": ["x"]}


def test_imports_of_every_kind():
    expected = {"jump rope": ["a rope turns"], "waving": ["a hand moves", "a farewell"]}
    texts = {"jump_rope.txt": b"a rope turns\n", "waving.txt": b"a hand moves\na farewell\n"}
    for files in ([("d.json", json.dumps(expected).encode())], list(texts.items())):
        assert descriptions.imported(files) == expected
    for folder in ("../../", "/etc/", "x" * 300, "a\0b"):  # a file's name is never one here
        assert descriptions.imported([(f"{folder}d.json", json.dumps(expected).encode())]) == expected
        assert descriptions.imported([(f"{folder}/{name}", said) for name, said in texts.items()]) == expected
    listed = descriptions.imported([("list.txt", b"JumpRope\nwaving\n")])
    assert listed == {"JumpRope": ["jump rope"], "waving": ["waving"]}
    for files in (
        [], [("a.json", b"{")], [("a.json", b'{"a": ""}')], [("a.json", b"{}"), ("b.txt", b"x")], [("a.exe", b"MZ")],
        [("a.zip", b"PK")], [("a/x.txt", b"one"), ("b/x.txt", b"two")], [("x.txt", b""), ("y.txt", b"words")],
    ):  # fmt: skip
        with pytest.raises(CezsarError) as raised:
            descriptions.imported(files)
        assert "/tmp" not in str(raised.value)


def test_disk_use_is_what_lies_there(store):
    (store.parents[1] / "cache").mkdir()
    (store.parents[1] / "cache" / "x").write_bytes(bytes(1234))
    sizes = holdings.sizes()
    assert sizes["cache"] == 1234
    assert sizes["features"] == sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    page = shown("disk")
    assert {row["folder"]: row["MB"] for row in table(page)}["cache"] == 1234 / 1e6
    assert page.selectbox(key="remove-which").options == ["features/mine", f"{store.parents[1].name}/cache"]


def test_nothing_outside_the_workspace_is_removed_or_what_a_job_works_on(store, tmp_path_factory, monkeypatch):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_text("x")
    home = store.parents[1]
    (home / "features" / "link").symlink_to(outside)
    (home / "runs").symlink_to(outside)
    (home / "other").mkdir()
    inside = ("", "other", f"features/../../{outside.name}", "features/link/precious", "runs/precious")
    for path in (outside, outside / "precious", *(home / name for name in inside)):
        with pytest.raises(InputError, match="not inside"):
            holdings.remove(path)
    holdings.remove(home / "features" / "link")
    assert not (home / "features" / "link").is_symlink() and (outside / "precious").read_text() == "x"
    step = jobs.Step("extracting", ["extract", "/videos", "--out", str(store)])
    job = jobs.Job("j", "extract", "Features", {}, [step], store, 0.0, "running", 0, "", 0.0, 0.0, None, "")
    with monkeypatch.context() as working, pytest.raises(InputError, match="wait for it"):
        working.setattr(jobs, "jobs", lambda *_, **__: [job])
        holdings.remove(store)
    holdings.remove(store)
    assert list(store.parent.iterdir()) == []
    with pytest.raises(InputError, match="has gone"):
        holdings.remove(store)


def test_the_box_of_classify_takes_descriptions(empty_workspace):
    save_descriptions(labels.own_folder() / "mine.json", {"a, b": ["x"], 'say "hi"': ["y", "z"]})
    page = shown("words", described="mine: mine")
    button(page, "Use on the page Classify").click().run()
    assert not page.exception
    assert parse_classes(page.session_state[state.LABELS])[1] == {"a, b": ["x"], 'say "hi"': ["y", "z"]}
    assert parse_classes(labels.written(["a, b", 'say "hi"', "c"]))[0].names == ["a, b", 'say "hi"', "c"]
