"""Who may open the app, and which paths on its machine they may give: all is open on one's own machine only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config

from cezsar import workspace
from cezsar.errors import InputError

FOLDERS = "CEZSAR_FOLDERS"
LOCAL = ("localhost", "127.0.0.1", "::1")


def _secret(section: str) -> Mapping[str, Any]:
    """A section of `.streamlit/secrets.toml`; empty where there is no such file. One that cannot be read is an error of
    Streamlit's, and nobody comes in."""
    there = any(Path(file).exists() for file in config.get_option("secrets.files"))
    return st.secrets.get(section, {}) if there else {}


def let_in() -> bool:
    """Whether the pages may be shown: no login is configured, or somebody logged in who may. Else it is asked for."""
    providers = _secret("auth")
    if not providers:
        return True
    if not st.user.is_logged_in:
        st.title("CEZSAR", anchor=False)
        named: list[str | None] = [name for name, own in providers.items() if isinstance(own, Mapping)]
        for name in named or [None]:
            st.button(f"Log in with {name}" if name else "Log in", on_click=st.login, args=(name,), type="primary")
        return False
    email, users = (
        str(st.user.get("email", "")).casefold(),
        {one.casefold() for one in _secret("cezsar").get("users", ())},
    )
    _, at, domain = email.rpartition("@")
    own = {email, f"@{domain}"} if at and st.user.get("email_verified", True) else set()
    st.button("Log out", on_click=st.logout, type="tertiary", icon=":material/logout:", help=email)
    if users and not users & own:
        st.error("This account may not use this app; its owner names those that may.", icon=":material/error:")
        return False
    return True


def shared() -> bool:
    """Whether others may be at the app: it listens to other machines, asks for a login, or names its folders."""
    return config.get_option("server.address") not in LOCAL or FOLDERS in os.environ or bool(_secret("auth"))


def given(text: str, what: str) -> Path:
    """The path that somebody typed, absolute and without links. Raises `InputError` where none was typed, and on a
    shared server for one that lies neither in the workspace nor in a folder of `$CEZSAR_FOLDERS`."""
    if not text.strip():
        raise InputError(f"{what}: there is no path; give one")
    path = Path(text.strip()).expanduser().resolve()
    opened = [workspace.home(), *map(workspace.folder, workspace.FOLDERS)]  # which may be links to a larger disk
    opened += [Path(folder).expanduser() for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    if shared() and not any(path.is_relative_to(folder.resolve()) for folder in opened):
        raise InputError(
            f"{text.strip()} is outside of what this server opens to its visitors, its workspace; whoever runs it can "
            f"name further folders in the environment variable {FOLDERS}, with {os.pathsep} between them"
        )
    return path
