"""The page "What the numbers mean": every figure on it is one that its commands print or write."""

from __future__ import annotations

import html
import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer.main

from cezsar.cli import app, main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")

NUMBER = re.compile(r"(?<![\w.,])[-\N{MINUS SIGN}]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d\w])")
SPANS = {"0", "1", "100"}  # ends of ranges: 0 to 1, 0 to 100 %
SPREAD = re.compile(r"\d+\.\d+ ± \d+\.\d+")
FIGURE = re.compile(r"\d\.\d")


# Reading the page ----------------------------------------------------------------------------------------------------


def chapters() -> dict[str, str]:
    """Its parts by their title, from "## "."""
    return dict(part.split("\n", 1) for part in re.split(r"^## ", PAGE, flags=re.M)[1:])


def sections(chapter: str) -> dict[str, str]:
    """Parts of a chapter by their title, from "### "."""
    return dict(part.split("\n", 1) for part in re.split(r"^### ", chapters()[chapter], flags=re.M)[1:])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(text: str) -> list[list[str]]:
    """Arguments of every command in ```sh blocks, without the program's name."""
    return [shlex.split(line)[1:] for block in blocks(text, "sh") for line in block.splitlines()]


def prose(text: str) -> list[str]:
    """The lines outside of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).splitlines()


def numbers(text: str) -> set[str]:
    """The numbers in a text: signs and thousands as Python writes them, units left out."""
    return {found.replace("\N{MINUS SIGN}", "-").replace(",", "") for found in NUMBER.findall(text)}


def visible(page: str) -> str:
    """What a reader of HTML sees."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", bare))


def report_sections(page: str) -> tuple[str, dict[str, str]]:
    """The head of a report, and its sections by their title, both as a reader sees them."""
    found = re.findall(r'<section id="[^"]+"><h2>(.*?)</h2>(.*?)</section>', page, re.S)
    head = re.search(r"<dl>.*?</dl>", page, re.S)
    assert head
    return visible(head[0]), {html.unescape(title): visible(text) for title, text in found}


# Running its commands ------------------------------------------------------------------------------------------------


def run(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, arguments


@pytest.fixture
def at_root(tmp_path, monkeypatch):
    """In the project's folder, with an empty workspace elsewhere."""
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "workspace"))
    monkeypatch.chdir(ROOT)


def test_worked_example_quotes_the_report(at_root, tmp_path):
    (given,) = commands(PAGE.split("\n## ")[0])
    assert given[given.index("--out") + 1] == "report.html"
    run([str(tmp_path / word) if word == "report.html" else word for word in given])
    head, told = report_sections((tmp_path / "report.html").read_text(encoding="utf-8"))
    explained = sections("The worked example")
    assert list(explained) == list(told)  # every section of the report, in its order
    figures = 0
    for title, text in explained.items():
        known = numbers(told[title]) | numbers(head) | SPANS
        for line in prose(text):
            unknown = (numbers(line) - known) | (set(SPREAD.findall(line)) - set(SPREAD.findall(told[title])))
            assert not unknown, f"{title}: {', '.join(sorted(unknown))} is not in the report: {line}"
            figures += len(FIGURE.findall(line))
    assert figures > 80  # or the page was not read as it is written


def test_trials_are_as_told(at_root, capsys):
    text = sections("Further numbers")["Prototype workshop"]
    given = commands(text)
    assert len(given) == 2
    for arguments in given:
        run(arguments)
    check(text, capsys.readouterr().out)


def test_explanation_is_as_told(at_root):
    text = sections("Further numbers")["Why one clip got its label"]
    (code,) = blocks(text, "python")
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "numbers.md", "exec"), {})
    check(text, printed.getvalue())


def check(text: str, printed: str) -> None:
    figures = [line for line in prose(text) if numbers(line)]
    assert figures
    for line in figures:
        unknown = numbers(line) - numbers(printed)
        assert not unknown, f"{', '.join(sorted(unknown))} is not printed: {line}"


# What no command here can check ---------------------------------------------------------------------------------------


def test_other_sections_quote_no_figures():
    others = list(sections("Further numbers").items())[:3]
    assert [title for title, _ in others] == ["Domain shift", "Seen and unseen together", "Training with other τ"]
    for title, text in others:
        assert commands(text), title
        for line in prose(text):
            assert not FIGURE.search(line), line


def test_commands_have_these_options():
    group = typer.main.get_command(app)
    for verb, *words in commands(PAGE):
        command = group.commands[verb]
        if verb == "prototypes":
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word in options, f"cezsar {verb} {word}"
