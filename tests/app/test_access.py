"""Who may open the app, and which paths people may give where others can."""

import os

import pytest
from conftest import ENTRY, button, fine, open_page, texts
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from app.evaluate import scoring
from app.parts import access, holdings
from app.train import starting
from cezsar.data import datasets
from cezsar.data.annotations import load_annotations
from cezsar.errors import InputError

PROVIDER = 'client_id = "id"\nclient_secret = "s"\nserver_metadata_url = "https://login.invalid/openid"\n'
AUTH = f'[auth]\nredirect_uri = "http://localhost:8501/oauth2callback"\ncookie_secret = "long and random"\n{PROVIDER}'


@pytest.fixture
def option():
    """Sets options of the server, until the test ends."""
    before = {}

    def put(key, value):
        before.setdefault(key, config.get_option(key))
        config.set_option(key, value)

    yield put
    for key, value in before.items():
        config.set_option(key, value)
    secrets_singleton._reset()


@pytest.fixture
def secrets(tmp_path, option):
    """Writes a file of secrets; without a call there is none."""
    path = tmp_path / "secrets.toml"
    option("secrets.files", [str(path)])
    secrets_singleton._reset()

    def write(text):
        path.write_text(text)
        secrets_singleton._reset()

    return write


def opened(**user):
    page = AppTest.from_file(str(ENTRY), default_timeout=60)
    page.user = user
    page.switch_page("../pages/library.py")
    return page.run()


def test_a_login_that_is_configured_is_asked_for_first(workspace, secrets):
    assert len(fine(opened()).segmented_control) == 1 and not access.shared()
    secrets(AUTH)
    page = fine(opened())
    assert [each.label for each in page.button] == ["Log in"] and not page.segmented_control
    assert access.shared()
    page = opened(is_logged_in=True, email="ann@example.org")
    assert len(fine(page).segmented_control) == 1 and button(page, "Log out")
    secrets(AUTH.replace(PROVIDER, f"[auth.one]\n{PROVIDER}[auth.two]\n{PROVIDER}"))
    assert [each.label for each in opened().button] == ["Log in with one", "Log in with two"]
    secrets("[auth")  # a file that cannot be read lets nobody in
    page = opened(is_logged_in=True, email="ann@example.org")
    assert page.exception and not page.segmented_control


@pytest.mark.parametrize(("user", "known"), [
    ({"email": "Ann@Example.org"}, True), ({"email": "bob@lab.example"}, True), ({"email": "eve@example.org"}, False),
    ({"email": "ann@example.org", "email_verified": False}, False), ({}, False), ({"email": "lab.example"}, False),
    ({"email": "eve@not.lab.example"}, False),
])  # fmt: skip
def test_of_those_who_logged_in_only_named_ones_come_in(workspace, secrets, user, known):
    secrets(AUTH + '[cezsar]\nusers = ["ann@example.org", "@lab.example"]\n')
    page = opened(is_logged_in=True, **user)
    assert not page.exception and bool(page.segmented_control) == known
    assert ("This account may not use this app" in texts(page)) != known


def test_paths_that_are_typed_lie_in_what_a_shared_server_opens(
    empty_workspace, clips, option, secrets, tmp_path_factory, monkeypatch, started
):
    folder, outside = clips[0] / "test", tmp_path_factory.mktemp("outside")
    (empty_workspace / "features" / "s").mkdir(parents=True)
    (empty_workspace / "link").symlink_to(folder)
    secret = outside / "captions.json"
    secret.write_text("{}")
    gives = {
        "a data set": lambda: scoring.start("cezsar", "", str(folder)),
        "a store": lambda: scoring.start("cezsar", str(outside), "demo"),
        "captions": lambda: scoring.start("cezsar", "", "demo", captions=f"{secret}\n"),
        "descriptions": lambda: scoring.start("cezsar", "", "demo", descriptions=str(secret)),
        "videos": lambda: holdings.extract(str(outside), "motion", "x", 1),
        "what is not there": lambda: holdings.extract(str(outside / "none"), "motion", "x", 1),
        "a way out": lambda: holdings.extract(f"{empty_workspace}/features/../../..", "motion", "x", 1),
        "a link": lambda: holdings.extract(str(empty_workspace / "link"), "motion", "x", 1),
        "somebody's home": lambda: holdings.extract("~root", "motion", "x", 1),
    }
    for address in ("0.0.0.0", "192.168.1.2", "::", None, ""):
        option("server.address", address)
        for what, give in gives.items():
            with pytest.raises(InputError, match=r"outside of what this server opens.*CEZSAR_FOLDERS"):
                give()
                pytest.fail(f"{what} at {address}")
    page = fine(open_page("library", section="Data sets"))
    page.text_input(key="register-name").set_value("mine")
    page.text_input(key="register-source").set_value(str(folder))
    assert "outside of what this server opens" in texts(button(page, "Add").click().run())
    page = open_page("library", section="Encoders")
    for name in (f"clip:{outside}", f"clip:{outside}/none", str(outside)):
        page.text_input(key="other-encoder").set_value(name).run()
        assert "outside of what this server opens" in texts(page) and "is here:" not in texts(page)
    assert not started and not datasets.registered()
    datasets.register("named by the owner", folder)  # by the command line
    gives["a data set"]()
    assert str(folder) in started.pop().steps[0].arguments
    datasets.forget("named by the owner")
    monkeypatch.setenv("CEZSAR_FOLDERS", os.pathsep.join([str(folder), str(outside)]))
    for what in ("a data set", "a store", "captions", "descriptions", "videos", "a link"):
        gives[what]()
    assert len(started) == 6
    monkeypatch.setenv("CEZSAR_FOLDERS", "")  # shared by word of its owner, as behind a proxy
    option("server.address", "localhost")
    with pytest.raises(InputError, match="outside"):
        gives["videos"]()
    monkeypatch.delenv("CEZSAR_FOLDERS")
    gives["videos"]()


def test_captions_that_are_uploaded_replace_no_list_of_the_workspace(empty_workspace):
    content = b'{"v": {"duration": 9, "timestamps": [[0, 2]], "sentences": ["a jump"]}}'
    for name in ("datasets.json", "../data/Datasets.json", "hard_groups.json", "../../x.json", "/etc/passwd.json"):
        kept = starting.add_captions(name, content)
        assert load_annotations(empty_workspace / "data" / f"{kept}.json").segments
    assert datasets.registered() == {} and not (empty_workspace / "data" / "hard_groups.json").exists()
    assert {path.parent for path in empty_workspace.rglob("*.json")} == {empty_workspace / "data"}
