"""Results made again: the record that is kept with a result, and `cezsar rerun`, which follows it and compares."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from typer import Argument, Context, Exit, Option

from cezsar.cli import options
from cezsar.data.documents import printable, read_json_object
from cezsar.errors import FormatError
from cezsar.formats import versions

verbs = options.Verbs()
OUTPUT = {"evaluate": "--out", "compare": "--out", "transfer": "--out", "analyse": "--out", "tau": "--json"}
WRITES = ("out", "json_out", "keep")  # parameters of these verbs that say what is written
SHOWN = 5  # differences that are listed


def record_of(context: Context, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a result was made with, to be kept with it: arguments, versions, device, fingerprints of what went in."""
    from cezsar.encoders.compute import pick_device

    told = {"arguments": _arguments(context), "versions": versions(), "device": str(pick_device()), "inputs": inputs}
    return {"record": told}


def _arguments(context: Context) -> list[str]:
    """The command without its outputs, with every value that it used, so that other defaults change nothing."""
    named, placed = [str(context.info_name)], list[str]()
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if parameter.name in WRITES or value in (None, False, [], ()):
            continue
        values = [printable(str(each)) for each in (value if isinstance(value, list | tuple) else [value])]
        if parameter.param_type_name == "argument":
            placed += values
        elif value is True:
            named.append(parameter.opts[0])
        else:
            named += [part for each in values for part in (parameter.opts[0], each)]
    return [*named, "--", *placed] if placed else named


@verbs.verb(
    "cezsar rerun r.json",
    "cezsar rerun report.json --out again.json --tolerance 1e-6",
)
def rerun(
    context: Context,
    result: Annotated[Path, Argument(help="What evaluate, compare, transfer, analyse or tau wrote as JSON.")],
    tolerance: Annotated[float, Option(min=0, help="Numbers that differ by no more are equal.")] = 0.0,
    out: Annotated[Path | None, options.output(
        "Keep the new result there; by default it is compared and dropped.", suffix=".json")] = None,
) -> None:  # fmt: skip
    """Make a result again, as its record says, and tell what differs: what went in, versions, numbers.

    Status 0 where all that went in and every number is the same, else 1. Run it where the result was made, or where
    its relative paths hold. The command is shown first; it reads what it names, and writes nothing else.
    """
    before = read_json_object(result)
    arguments = _checked(before.get("record"), result)
    verb, *given = arguments
    print(f"$ cezsar {shlex.join(arguments)}")
    command: Any = context.find_root().command
    with TemporaryDirectory(prefix="cezsar-") as folder:
        wanted = out or Path(folder) / "again.json"
        target = wanted.with_suffix(".html") if verb == "analyse" else wanted
        output = [OUTPUT[verb], str(target)]
        with command.commands[verb].make_context(verb, [*output, *given], parent=context) as own:
            if own.params.get("keep"):
                raise FormatError(f"{result}: its record has a command that writes elsewhere; evaluate again by hand")
            command.commands[verb].invoke(own)
        after = read_json_object(wanted)
    old, new = before.pop("record"), after.pop("record")
    changed = list(_differences(old.get("inputs"), new["inputs"]))
    apart = [each for each in _differences(before, after) if _distance(*each[1:]) > tolerance]
    told = {
        "what went in": changed, "versions": list(_differences(old.get("versions"), new["versions"])),
        "device": list(_differences(old.get("device"), new["device"])),
    }  # fmt: skip
    for what, found in told.items():
        shown = "; ".join(f"{path} {_short(was)}, now {_short(now)}".strip() for path, was, now in found)
        print(f"{what}: {f'differs: {shown}' if found else 'the same'}")
    print(f"result: {_summary(apart)}")
    for path, was, now in sorted(apart, key=lambda each: -_distance(*each[1:]))[:SHOWN]:
        print(f"  {path}: {_short(was)}, now {_short(now)}")
    if apart or changed:
        raise Exit(1)


def _checked(record: Any, source: Path) -> list[str]:
    """The command of a record that may come from a stranger: one of the verbs that evaluate, without outputs."""
    arguments = record.get("arguments") if isinstance(record, dict) else None
    if not arguments:
        told = "as older ones and those of the app do not"
        raise FormatError(f"{source} keeps no record of how it was made, {told}; evaluate again")
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise FormatError(f"{source}: its record should have a list of arguments; evaluate again by hand")
    options_given = {each.partition("=")[0] for each in arguments}
    if arguments[0] not in OUTPUT or options_given & {"--out", "--json", "--keep", "--help", "-h"}:
        told = f"{printable(shlex.join(arguments))[:80]!r} is no command that evaluates and writes nothing else"
        raise FormatError(f"{source}: {told}; evaluate again by hand")
    return arguments


def _differences(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two values from JSON differ, with their place; what one of them lacks is None."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*was, *now]):
            yield from _differences(was.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for place, pair in enumerate(zip(was, now, strict=True)):
            yield from _differences(*pair, f"{path}.{place}".lstrip("."))
    elif was != now or isinstance(was, bool) != isinstance(now, bool):
        yield path, was, now


def _distance(was: Any, now: Any) -> float:
    """Between two numbers; infinite where they are none."""
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (was, now)):
        return float("inf")
    return abs(was - now)


def _summary(apart: list[tuple[str, Any, Any]]) -> str:
    numbers = [distance for _, was, now in apart if (distance := _distance(was, now)) < float("inf")]
    told = [f"{len(numbers):,} numbers differ, by {max(numbers):.3g} at the most"] if numbers else []
    told += [f"{len(apart) - len(numbers):,} other values differ"] if len(apart) > len(numbers) else []
    return " and ".join(told) or "the same"


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value}"[:60]
