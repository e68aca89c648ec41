"""The page "What the numbers mean": every figure on it is one that its commands print or write."""

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
SPREAD = re.compile(r"\d+\.\d+ ± \d+\.\d+")
FIGURE = re.compile(r"\d\.\d")


def parts(text, mark):
    return dict(part.split("\n", 1) for part in re.split(rf"^{mark} ", text, flags=re.M)[1:])


CHAPTERS = {title: parts(text, "###") for title, text in parts(PAGE, "##").items()}
FURTHER = CHAPTERS["Further numbers"]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(text):
    return [shlex.split(line)[1:] for block in blocks(text, "sh") for line in block.splitlines()]


def prose(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).splitlines()


def numbers(text):
    return {found.replace("\N{MINUS SIGN}", "-").replace(",", "") for found in NUMBER.findall(text)}


def visible(page):
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)))


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, arguments


@pytest.fixture
def at_root(tmp_path, monkeypatch):
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "workspace"))
    monkeypatch.chdir(ROOT)


def test_worked_example_quotes_the_report(at_root, tmp_path):
    (given,) = commands(PAGE.split("\n## ")[0])
    assert given[given.index("--out") + 1] == "report.html"
    run([str(tmp_path / word) if word == "report.html" else word for word in given])
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    head = visible(re.search(r"<dl>.*?</dl>", report, re.S)[0])
    found = re.findall(r'<section id="[^"]+"><h2>(.*?)</h2>(.*?)</section>', report, re.S)
    told = {html.unescape(title): visible(text) for title, text in found}
    assert list(CHAPTERS["The worked example"]) == list(told)  # every section of the report, in its order
    figures = 0
    for title, text in CHAPTERS["The worked example"].items():
        known = numbers(told[title]) | numbers(head) | {"0", "1", "100"}  # ends of ranges
        for line in prose(text):
            unknown = (numbers(line) - known) | (set(SPREAD.findall(line)) - set(SPREAD.findall(told[title])))
            assert not unknown, f"{title}: {', '.join(sorted(unknown))} is not in the report: {line}"
            figures += len(FIGURE.findall(line))
    assert figures > 80  # or the page was not read as it is written


def test_trials_and_an_explanation_are_as_told(at_root, capsys):
    trials, explanation = FURTHER["Prototype workshop"], FURTHER["Why one clip got its label"]
    assert len(commands(trials)) == 3
    for arguments in commands(trials):
        run(arguments)
    (code,) = blocks(explanation, "python")
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "numbers.md", "exec"), {})
    for text, known in ((trials, capsys.readouterr().out), (explanation, printed.getvalue())):
        told = numbers("\n".join(prose(text)))
        assert told and told <= numbers(known), told - numbers(known)


def test_other_sections_quote_no_figures_and_commands_have_these_options():
    others = ["Domain shift", "Seen and unseen together", "Training with other τ"]
    assert list(FURTHER)[:3] == others
    for title in others:
        assert commands(FURTHER[title]) and not any(map(FIGURE.search, prose(FURTHER[title]))), title
    group = typer.main.get_command(app)
    for verb, *words in commands(PAGE):
        command = group.commands[verb].commands[words[0]] if verb == "prototypes" else group.commands[verb]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, verb
