"""Films -> machine captions, in the file that `--captions` reads. What is done is kept in a hidden file beside it until
all is. Films are told in the order given, so that a run that was killed and started again ends with the same bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cezsar import atomic
from cezsar.data.documents import printable, read_json_object
from cezsar.data.extraction import ExtractionReport, Failure, in_order, why_failed, words
from cezsar.data.features import file_stamp, same_film
from cezsar.data.manifest import Clip
from cezsar.encoders.captioners import Captioner
from cezsar.errors import DAMAGED, FormatError, InputError, MismatchError
from cezsar.formats import check_stamp, stamp
from cezsar.video import Limits

KIND = "machine captions"
ANOTHER = "give another file for --out"


def caption(
    clips: Sequence[Clip], captioner: Captioner, out: str | Path, *, workers: int | None = None,
    limits: Limits | None = None, flush_s: float = 60.0,
    on_progress: Callable[[int, int, int], object] = lambda done, clips, failed: None,
) -> ExtractionReport:  # fmt: skip
    """Write captions of every film that `out` does not have yet, or has of another film. One that cannot be decoded, or
    that the model has no words for, is reported and never stops the others. What is done is kept after `flush_s`
    seconds: a kill costs no more. Raises `FormatError` or `MismatchError` where `out` is a file of something else."""
    made = {"model": captioner.name, "fingerprint": captioner.fingerprint, "every_s": captioner.every_s}
    made |= {"precision": captioner.precision}
    out, there = Path(out), Path(out).with_name(f".captioning-{Path(out).name}")
    results, films = _earlier(there, made) or _earlier(out, made) or ({}, {})
    changed = {clip.id for clip in clips if clip.id in films and not same_film(clip.path, *films[clip.id])}
    waiting = [clip for clip in clips if clip.id in changed or clip.id not in films]
    failed, partly, flushed_s = list[Failure](), list[Failure](), time.monotonic()

    def write(path: Path) -> None:
        known = {id: films[id] for id in results}
        atomic.write_json(path, stamp(KIND) | made | {"films": known, "results": results})

    with closing(in_order(waiting, captioner, captioner.captions, workers, limits)) as read:
        try:
            for number, (clip, result) in enumerate(read, start=len(clips) - len(waiting) + 1):
                where = clip.id, printable(str(clip.path))
                results.pop(clip.id, None)
                try:
                    captions, reading = result.result()
                    if not (entries := captioner.entries(captions, reading.read_s if reading else 0.0)):
                        raise InputError(f"{where[1]}: {captioner.name} has no words for it")
                    results[clip.id], films[clip.id] = entries, (where[1], *file_stamp(clip.path))
                    if missing := words(result):
                        partly.append(Failure(*where, missing))
                except Exception as error:
                    failed.append(Failure(*where, why_failed(error)))
                if time.monotonic() - flushed_s > flush_s:
                    write(there)
                    flushed_s = time.monotonic()
                on_progress(number - len(failed), len(clips), len(failed))
        except (KeyboardInterrupt, SystemExit):
            write(there)
            raise
    if results:
        write(out)
    there.unlink(missing_ok=True)
    return ExtractionReport(len(waiting) - len(failed), len(clips) - len(waiting), failed, partly, len(changed))


def _earlier(path: Path, made: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The captions that a file has, and of what films: (path, size, time); None where there is no file."""
    if not path.is_file():
        return None
    told = read_json_object(path)
    check_stamp(path, KIND, told, ANOTHER)
    if other := [f"{key} {told.get(key)}, not {made[key]}" for key in made if told.get(key) != made[key]]:
        raise MismatchError(f"{path} has captions made with {other[0]}; {ANOTHER}, or remove it")
    try:
        films = {id: (str(at), int(size), int(time_ns)) for id, (at, size, time_ns) in told["films"].items()}
        results = {id: [entry | {"sentence": str(entry["sentence"])} for entry in told["results"][id]] for id in films}
        return results, films
    except DAMAGED as error:
        raise FormatError(f"{path} lacks captions of the films that it names; {ANOTHER}, or remove it") from error
