"""Running commands, and a place to run them in."""

import pytest

from cezsar.cli import main


@pytest.fixture
def cezsar(capsys):
    """Run a command; returns (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty workspace, and an empty folder to be in; progress is told at every step."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "ws"))
    monkeypatch.setenv("CEZSAR_PROGRESS_EVERY_S", "0")
    return tmp_path / "ws"
