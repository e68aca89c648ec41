"""Own hard groups on disk: what is kept comes back, what cannot be used is refused and changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from cezsar.data.labels import checked_groups, groups_path, keep_group, load_groups, remove_group, save_groups
from cezsar.errors import FormatError, InputError


@pytest.fixture
def path(tmp_path):
    return groups_path(tmp_path)


def test_what_is_kept_comes_back_in_order(path, tmp_path):
    assert path == tmp_path / "data" / "hard_groups.json"
    assert load_groups(path) == {}
    keep_group(path, "horses", ["horse riding", "horse race"])
    keep_group(path, " boxing  bags ", ["BoxingSpeedBag", "punching bag"])
    expected = {"horses": ["horse riding", "horse race"], "boxing bags": ["BoxingSpeedBag", "punching bag"]}
    assert load_groups(path) == expected == json.loads(path.read_text())
    assert list(load_groups(path)) == ["horses", "boxing bags"]


def test_a_group_changes_its_name_and_classes_in_its_place(path):
    save_groups(path, {"a": ["x", "y"], "b": ["y", "z"]})
    keep_group(path, "c", ["x", "z"], instead_of="a")
    assert list(load_groups(path).items()) == [("c", ["x", "z"]), ("b", ["y", "z"])]
    keep_group(path, "c", ["x", "y", "z"], instead_of="c")
    assert load_groups(path)["c"] == ["x", "y", "z"]
    with pytest.raises(InputError, match="no group 'gone'"):
        keep_group(path, "d", ["x", "y"], instead_of="gone")
    with pytest.raises(InputError, match="already"):
        keep_group(path, "B", ["x", "y"], instead_of="c")


def test_removing(path):
    save_groups(path, {"a": ["x", "y"], "b": ["y", "z"]})
    remove_group(path, "a")
    remove_group(path, "never there")
    assert load_groups(path) == {"b": ["y", "z"]}


@pytest.mark.parametrize(
    "groups, said",
    [
        ({"": ["x", "y"]}, "empty"),
        ({"a": ["x"]}, "fewer than two"),
        ({"a": ["Horse Riding", "horse_riding"]}, "fewer than two"),
        ({"a": ["x", " "]}, "empty"),
        ({"a": ["x", "y"], "A ": ["x", "z"]}, "two groups"),
        ({"n" * 61: ["x", "y"]}, "61 characters"),
        ({"a\ud800": ["x", "y"]}, "no text"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(path, groups, said):
    save_groups(path, {"good": ["x", "y"]})
    with pytest.raises(InputError, match=said):
        save_groups(path, groups)
    assert load_groups(path) == {"good": ["x", "y"]}


def test_classes_given_twice_are_kept_once_as_first_spelt():
    assert checked_groups({"a": ["Horse Riding", "race", "horse_riding"]}) == {"a": ["Horse Riding", "race"]}


@pytest.mark.parametrize("text", ["[]", "{", '{"a": "x"}', '{"a": ["x", 1]}', '{"a": ["x"]}'])
def test_a_damaged_file_is_named_and_left_alone(path, text):
    path.parent.mkdir()
    path.write_text(text)
    for attempt in (
        lambda: load_groups(path),
        lambda: keep_group(path, "b", ["x", "y"]),
        lambda: remove_group(path, "a"),
    ):
        with pytest.raises(FormatError, match=r"hard_groups\.json"):
            attempt()
    assert path.read_text() == text


def test_sessions_at_the_same_moment_lose_nothing(path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: keep_group(path, f"group {n}", ["x", "y"]), range(24)))
    assert set(load_groups(path)) == {f"group {n}" for n in range(24)}
