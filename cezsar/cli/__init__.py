"""The command line: verbs of one subject in a file. Parsing and printing live here and nowhere else."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from cezsar.cli import analysis, evaluation, import_release, prototypes, recognition, rerun, training, workspace
from cezsar.cli.console import UNWRITABLE
from cezsar.data.manifest import VIDEO_SUFFIXES
from cezsar.errors import CezsarError

STOPPED = (130, 143)  # exit statuses after Ctrl-C, where Typer sets it, and after SIGTERM

app = typer.Typer(
    name="cezsar",
    help="Zero-shot action recognition: name what people do in a video, for actions no model was trained on.",
    epilog="Start with: cezsar demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verbs in (recognition, training, evaluation, analysis, rerun, workspace, prototypes, import_release):
    app.add_typer(verbs.verbs)


@functools.cache
def _command() -> Callable[..., object]:
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb. Exit status: 0 done, 1 done with failures that were reported, 2 a mistake in what was asked, 3 a
    fault in here."""
    try:
        _command()(args=arguments, prog_name="cezsar")
    except SystemExit as ended:
        if ended.code in STOPPED:
            print("cezsar: stopped; give the command again to go on, `cezsar train` with --resume", file=sys.stderr)
        given = list(sys.argv[1:] if arguments is None else arguments)
        if ended.code == 2 and "--" not in given and (odd := [each for each in given if _is_file_like_an_option(each)]):
            print(f"cezsar: {odd[0]} is taken for an option; name such files behind --: -- {odd[0]}", file=sys.stderr)
        raise
    except CezsarError as error:
        print(f"cezsar: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader, say `head`, has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            print(f"cezsar: {error.filename or 'a file'}: {os.strerror(error.errno)}", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(3)  # not 1, which says that all else was done
    sys.exit(0)


def program() -> NoReturn:
    """`main` as a process of its own. Importing torch makes a million objects and no garbage, so garbage is looked for
    seldom, and at the end, when all else is done, the system takes the memory back at once: a second less each."""
    gc.set_threshold(100_000)
    signal.signal(signal.SIGTERM, _terminated)
    ended = SystemExit(3)
    atexit.register(lambda: _leave(int(ended.code or 0)))  # the first to be registered comes last
    try:
        main()
    except SystemExit as error:
        ended = error
        raise


def _terminated(number: int, _: object) -> None:
    """End as after Ctrl-C: what is done is kept, nothing is left lying about. Further requests cannot disturb that."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _leave(status: int) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = 141
    os._exit(status)


def _is_file_like_an_option(argument: str) -> bool:
    """Whether it is a file whose name begins with a hyphen, as many ids of YouTube do."""
    return argument.startswith("-") and (Path(argument).suffix.lower() in VIDEO_SUFFIXES or Path(argument).exists())
