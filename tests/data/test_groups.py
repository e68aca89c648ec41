"""Own hard groups on disk: what is kept comes back, what cannot be used is refused and changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from cezsar.data.labels import groups_path, keep_group, load_groups, remove_group
from cezsar.errors import FormatError, InputError


@pytest.fixture
def path(tmp_path):
    return groups_path(tmp_path)


def test_groups_are_kept_in_order_changed_in_their_place_and_removed(path, tmp_path):
    assert path == tmp_path / "data" / "hard_groups.json"
    assert load_groups(path) == {}
    keep_group(path, "horses", ["horse riding", "horse race", "Horse_Race"])
    keep_group(path, " boxing  bags ", ["BoxingSpeedBag", "punching bag"])
    expected = {"horses": ["horse riding", "horse race"], "boxing bags": ["BoxingSpeedBag", "punching bag"]}
    assert load_groups(path) == expected == json.loads(path.read_text())
    keep_group(path, "riding", ["x", "z"], instead_of="horses")
    assert list(load_groups(path).items()) == [("riding", ["x", "z"]), ("boxing bags", expected["boxing bags"])]
    keep_group(path, "riding", ["x", "y", "z"], instead_of="riding")
    assert load_groups(path)["riding"] == ["x", "y", "z"]
    with pytest.raises(InputError, match="no group 'gone'"):
        keep_group(path, "d", ["x", "y"], instead_of="gone")
    with pytest.raises(InputError, match="already"):
        keep_group(path, "Boxing bags", ["x", "y"], instead_of="riding")
    remove_group(path, "riding")
    remove_group(path, "never there")
    assert list(load_groups(path)) == ["boxing bags"]


@pytest.mark.parametrize(
    "name, classes, said",
    [
        ("", ["x", "y"], "empty"),
        ("a", ["x"], "fewer than two"),
        ("a", ["Horse Riding", "horse_riding"], "fewer than two"),
        ("a", ["x", " "], "empty"),
        ("Good ", ["x", "z"], "already"),
        ("n" * 61, ["x", "y"], "61 characters"),
        ("a\ud800", ["x", "y"], "no text"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(path, name, classes, said):
    keep_group(path, "good", ["x", "y"])
    with pytest.raises(InputError, match=said):
        keep_group(path, name, classes)
    assert load_groups(path) == {"good": ["x", "y"]}


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": "x"}', '{"a": ["x", 1]}', '{"a": ["x"]}', '{"a": ["x", "y"], "A": ["x", "z"]}']
)
def test_a_damaged_file_is_named_and_left_alone(path, text):
    path.parent.mkdir()
    path.write_text(text)
    for attempt in (load_groups, lambda path: keep_group(path, "b", ["x", "y"]), lambda path: remove_group(path, "a")):
        with pytest.raises(FormatError, match=r"hard_groups\.json"):
            attempt(path)
    assert path.read_text() == text


def test_sessions_at_the_same_moment_lose_nothing(path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: keep_group(path, f"group {n}", ["x", "y"]), range(24)))
    assert set(load_groups(path)) == {f"group {n}" for n in range(24)}
