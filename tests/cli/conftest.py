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
