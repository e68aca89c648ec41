"""`cezsar.zeroshot.spans` on films joined from clips: borders, wrong spans, time, memory.

    python benchmarks/spans.py                                drawn clips, by the demo's run that comes along
    python benchmarks/spans.py clips/ --run photographs       one's own clips, as a folder of class folders or a CSV
    python benchmarks/spans.py labels.csv --encoder bit       (path,label); by a run or an encoder

A clip is repeated until it lasts as long as is wanted. Prints, from one run on one machine:

1. Pairs of clips with different labels, two minutes of each, joined: how far the nearest border found is from the true
   one, and how many pairs have a span of a wrong label that is longer than 3 s; among the two labels, and among all. No
   film can do better than its clips, so pairs whose clips are ranked right alone are counted by themselves.
2. A long film of all clips, and one of a tenth of its length: the time of all by the time spent in the encoder, which
   waits for the decoder; and the most memory above what was held with the models loaded.

Ends with 1 if such a pair misses 2 s or has such a span, or the long film needs more than 1.1 times or 200 MB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, repeat
from pathlib import Path

import av
import numpy as np

from cezsar import world
from cezsar.data.datasets import named_descriptions
from cezsar.data.labels import canonical, spoken
from cezsar.data.manifest import read_source
from cezsar.training.runs import find_run
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.spans import Span, read, spans

FPS, WIDTH, HEIGHT = 25, 320, 240
HALF_S, PIECE_S, WRONG_S = 120, 60, 3
BORDER_S, TIMES, MEMORY_MB = 2.0, 1.1, 200.0
DRAWN_LABELS = 8


@dataclass(frozen=True)
class Clip:
    """A clip to make films of: its label, and a file of a minute or two that repeats it."""

    label: str
    piece: Path


# Films ----------------------------------------------------------------------------------------------------------------


def drawn_clips(folder: Path) -> Iterator[tuple[str, Path]]:
    """Label and file of a drawn clip for each of some actions that training never showed."""
    for plan in world.plan_clips(world.SEED + 1, world.unseen_actions()[:DRAWN_LABELS], 1):
        world.write_video(plan, folder / f"{plan.id}.webm")
        yield plan.label, folder / f"{plan.id}.webm"


def pictures(path: Path) -> Iterator[np.ndarray]:
    """(HEIGHT, WIDTH, 3) RGB, FPS of them a second, the clip again and again; black beside it keeps its proportions."""
    with av.open(str(path)) as container:
        shown = []
        for frame in container.decode(video=0):
            scale = min(WIDTH / frame.width, HEIGHT / frame.height)
            width, height = round(frame.width * scale), round(frame.height * scale)
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
            image[top : top + height, left : left + width] = frame.reformat(width, height, "rgb24").to_ndarray()
            shown.append((float(frame.time or 0), image))
    first_s, gap_s = shown[0][0], (shown[-1][0] - shown[0][0]) / max(1, len(shown) - 1) or 1 / FPS
    times = np.array([time_s - first_s for time_s, _ in shown])
    at = np.searchsorted(times, np.arange(0, times[-1] + gap_s, 1 / FPS) + 1e-6, side="right") - 1
    for index in chain.from_iterable(repeat(at)):
        yield shown[index][1]


def write_piece(path: Path, source: Path, seconds: int) -> None:
    """`seconds` of a clip, repeated."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        stream.bit_rate = 1_000_000
        for _, image in zip(range(seconds * FPS), pictures(source), strict=False):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def join(path: Path, pieces: Sequence[tuple[Path, int]]) -> None:
    """The first seconds of each piece, one piece after the other, without encoding them again."""
    with av.open(str(path), "w") as out:
        stream, begun = None, 0
        for piece, seconds in pieces:
            with av.open(str(piece)) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                ticks = round(1 / source.time_base)
                for packet in container.demux(source):
                    if packet.pts is None or packet.pts >= seconds * ticks:
                        continue
                    packet.pts += begun * ticks
                    packet.dts = packet.pts  # no B-frames
                    packet.stream = stream
                    out.mux(packet)
            begun += seconds


# Memory and time ------------------------------------------------------------------------------------------------------


class Memory:
    """How much more memory this process holds at most, from now until `end`; sampled, on Linux."""

    def __init__(self) -> None:
        self._before = self._most = self._now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """In bytes."""
        self._ended.set()
        self._thread.join()
        return self._most - self._before

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            self._most = max(self._most, self._now())

    @staticmethod
    def _now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Timed:
    """An encoder that knows how long it took; frames are decoded within that time."""

    def __init__(self, encoder: object) -> None:
        self._encoder, self.spent_s, self.waited_s = encoder, 0.0, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def encode(self, frames: Iterable[object]) -> np.ndarray:
        started = time.perf_counter()
        rows = self._encoder.encode(self._waited(frames))  # type: ignore[attr-defined]
        self.spent_s += time.perf_counter() - started
        return rows

    def _waited(self, frames: Iterable[object]) -> Iterator[object]:
        iterator = iter(frames)
        while True:
            started = time.perf_counter()
            frame = next(iterator, None)
            self.waited_s += time.perf_counter() - started
            if frame is None:
                return
            yield frame


# Measures -------------------------------------------------------------------------------------------------------------


def judged(found: Sequence[Span], first: str, second: str) -> tuple[float, int]:
    """Seconds from the true border to the nearest one found, and the spans longer than WRONG_S with a wrong label."""
    error = min((abs(span.start_s - HALF_S) for span in found[1:]), default=float(HALF_S))
    wrong = 0
    for span in found:
        inside = {first: min(span.end_s, HALF_S) - span.start_s, second: span.end_s - max(span.start_s, HALF_S)}
        right = max(0.0, inside.get(span.label or "", 0.0))
        wrong += span.label is not None and span.end_s - span.start_s - right > WRONG_S
    return error, wrong


def measure_pairs(
    classifier: Classifier, clips: Sequence[Clip], labels: dict[str, list[str]], most: int, folder: Path
) -> bool:
    pairs = [pair for pair in combinations(clips, 2) if pair[0].label != pair[1].label]
    pairs = [pairs[index] for index in np.random.default_rng(0).permutation(len(pairs))[:most]]
    alone = {}
    for clip in {clip for pair in pairs for clip in pair}:
        path = folder / "alone.mkv"
        join(path, [(clip.piece, 10)])
        alone[clip] = classifier.read(path)
    rows = []
    for first, second in pairs:
        path = folder / "pair.mkv"
        join(path, [(first.piece, HALF_S), (second.piece, HALF_S)])
        film = read(classifier, path)
        two = {name: labels[name] for name in (first.label, second.label)}
        for among in (two, labels):
            right = all(classifier.rank(alone[clip], among).labels[0][0] == clip.label for clip in (first, second))
            rows.append((len(among), right, *judged(spans(classifier, film, among), first.label, second.label)))
    print(f"{len(pairs)} pairs of films of {HALF_S} s")
    for count in dict.fromkeys(count for count, *_ in rows):
        told("all", [row for row in rows if row[0] == count])
        told("clips ranked right alone", [row for row in rows if row[0] == count and row[1]])
    return all(error <= BORDER_S and not wrong for _, right, error, wrong in rows if right)


def told(which: str, rows: Sequence[tuple[int, bool, float, int]]) -> None:
    if not rows:
        print(f"  {which}: none")
        return
    errors, wrong = (np.array([row[column] for row in rows]) for column in (2, 3))
    print(
        f"  among {rows[0][0]} labels, {which}: {len(rows)} pairs; border off by {np.median(errors):.1f} s (median), "
        f"at most {BORDER_S:.0f} s in {np.mean(errors <= BORDER_S):.0%}; no wrong span over {WRONG_S} s in "
        f"{np.mean(wrong == 0):.0%}"
    )


def measure_long(
    classifier: Classifier, clips: Sequence[Clip], labels: dict[str, list[str]], minutes: int, folder: Path
) -> bool:
    encoder, path, most = classifier.encoder, folder / "long.mkv", 0.0
    for seconds in (minutes * 6, minutes * 60):
        lengths = [min(PIECE_S, seconds - begun) for begun in range(0, seconds, PIECE_S)]
        join(path, [(clips[index % len(clips)].piece, length) for index, length in enumerate(lengths)])
        timed = Timed(encoder)
        classifier.encoder = timed  # type: ignore[assignment]
        memory, started = Memory(), time.perf_counter()
        found = spans(classifier, read(classifier, path), labels)
        took_s, memory_mb = time.perf_counter() - started, memory.end() / 1e6
        times, most = took_s / timed.spent_s, max(most, memory_mb)
        print(
            f"A film of {seconds / 60:g} minutes, {len(found)} spans: {took_s:.0f} s, {times:.3f} times the "
            f"{timed.spent_s:.0f} s in the encoder ({timed.waited_s:.0f} s waiting for pictures); "
            f"{memory_mb:.0f} MB more memory"
        )
    classifier.encoder = encoder
    return times <= TIMES and most <= MEMORY_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="?", help="clips with labels; drawn ones by default")
    parser.add_argument("--run", help="name or folder of a run")
    parser.add_argument("--encoder", help="an encoder that ranks without a run")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--minutes", type=int, default=20, help="length of the long film")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        labelled = (
            [(clip.label, clip.path) for clip in read_source(given.clips)] if given.clips else drawn_clips(folder)
        )
        clips = []
        for number, (label, path) in enumerate(labelled):
            clips.append(Clip(label, folder / f"piece-{number}.mkv"))
            write_piece(clips[-1].piece, path, HALF_S)
        run = given.run or ("photographs" if given.clips else "demo")
        opened = Classifier.of_encoder(given.encoder) if given.encoder else Classifier.of_run(find_run(run) or run)
        with opened as classifier:
            sets = [named_descriptions(name) for name in ("kinetics400", "ucf101")] + [classifier.descriptions]
            known = {canonical(name): sentences for each in sets for name, sentences in each.items()}
            labels = {clip.label: list(known.get(canonical(clip.label), [spoken(clip.label)])) for clip in clips}
            print(f"{len(clips)} clips, {len(labels)} labels, by {classifier.name}")
            fine = measure_pairs(classifier, clips, labels, given.pairs, folder)
            fine &= measure_long(classifier, clips, labels, given.minutes, folder)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
