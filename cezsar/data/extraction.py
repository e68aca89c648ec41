"""Clips -> feature store: decode, encode, keep, resume. Clips are stored in the order given, whichever finishes first,
so that a run that was killed and started again ends with the same bytes and fingerprint as one that was not."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cezsar import atomic
from cezsar.data.documents import printable, read_json_object
from cezsar.data.features import ObjectVocabulary, StoreWriter
from cezsar.data.labels import canonical
from cezsar.data.manifest import Clip
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import top_objects
from cezsar.errors import CezsarError, InputError, MismatchError
from cezsar.video import Decoder, Frame, Limits, Reading

T = TypeVar("T")
Read = Future[tuple[T, Reading | None]]  # what was made of a clip's frames, and how much of the clip could be read
AHEAD_BYTES = 64 << 20  # frames a worker may hold while another clip is being encoded
FAILURES = "failed.json"  # beside the shards
WAITING = 16  # clips that may be finished, for each worker, before the one whose turn it is


class Failure(NamedTuple):
    """A clip without features, or with those of a part of it, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class ExtractionReport:
    """How many clips were stored, and which could not be."""

    done: int  # stored now
    skipped: int  # were there already
    failed: list[Failure]
    partly: list[Failure] = field(default_factory=list)  # stored now, of a file that is cut off or damaged
    changed: int = 0  # of `done` and `failed`: had features of another film of that name, which were dropped
    precision: str = "fp32"  # of all features of the store: "fp32", "bf16", or both


def extract(
    clips: Sequence[Clip], encoder: FrameEncoder, store_folder: str | Path, *, workers: int | None = None,
    objects_k: int = 10, object_head: ObjectHead | None = None, limits: Limits | None = None, shard_videos: int = 256,
    flush_s: float = 60.0,
    on_progress: Callable[[int, int, int], object] = lambda stored, clips, failed: None,
) -> ExtractionReport:  # fmt: skip
    """Store the features of every clip that the store does not have yet, or has of another film. A clip that cannot be
    decoded or stored is reported and never stops the others; failures and clips read in part are in `failed.json`
    beside the shards. `workers` are decoder processes, by default one for each core: light encoders run inside them,
    others here, as many at once on a processor, in turns on another device. Of each clip the `objects_k` most probable
    objects are kept, told by `object_head`, by default the encoder's. A shard is written after `shard_videos` or
    `flush_s` seconds: a kill costs at most one. `InputError` where another process writes there, `MismatchError` for
    another encoder or label, `CezsarError` where the disk is full."""
    head = (object_head or encoder.object_head) if objects_k else None
    vocabulary = None if head is None else ObjectVocabulary(head.names, head.definitions, head.fingerprint)
    with StoreWriter(store_folder, provenance(encoder), vocabulary=vocabulary, shard_videos=shard_videos) as writer:
        work, flushed_s = Work(writer, clips), time.monotonic()
        with closing(in_order(work.waiting, encoder, encoder.encode, workers, limits)) as results:
            try:
                for number, (clip, result) in enumerate(results, start=len(clips) - len(work.waiting) + 1):
                    where = clip.id, printable(str(clip.path))
                    if reason := _keep(writer, clip, result, head, objects_k):
                        work.failed.append(Failure(*where, reason))
                    elif missing := words(result):
                        work.partly.append(Failure(*where, missing))
                    if writer.full or time.monotonic() - flushed_s > flush_s:
                        work.flush()
                        flushed_s = time.monotonic()
                    on_progress(number - len(work.failed), len(clips), len(work.failed))
            except (KeyboardInterrupt, SystemExit):  # what is done is kept, as far as the program gets to hear of it
                work.flush()
                raise
        work.flush()
    return work.report()


class Work:
    """What is to be done for a store, and what came of it."""

    def __init__(self, writer: StoreWriter, clips: Sequence[Clip]) -> None:
        for clip in clips:
            stored = writer.labels.get(clip.id, clip.label)
            if clip.label and canonical(stored) != canonical(clip.label):
                told = f"{writer.folder} has clip {clip.id!r} as {stored!r}, the source says {clip.label!r}"
                raise MismatchError(f"{told}: extract into another folder, or correct the label")
        self.writer, self.clips = writer, len(clips)
        self.changed = writer.drop_replaced({clip.id: clip.path for clip in clips})
        self.waiting = [clip for clip in clips if clip.id not in writer]
        self.failed, self.partly = list[Failure](), list[Failure]()
        self._before = [clip for clip in _read_in_part(writer.folder) if clip.id in writer]

    def adopt(self, folder: Path) -> None:
        """Take over what a run that was killed has extracted into a store of its own."""
        self._before += _read_in_part(folder)
        self.flush()
        self.writer.adopt(folder)

    def flush(self) -> None:
        """Write what is done; the lists first, so that whatever is in the store is told of."""
        lists = {"failed": self.failed, "read in part": self._before + self.partly}
        atomic.write_json(
            self.writer.folder / FAILURES, {name: [clip._asdict() for clip in each] for name, each in lists.items()}
        )
        self.writer.flush()

    def report(self) -> ExtractionReport:
        skipped, done = self.clips - len(self.waiting), len(self.waiting) - len(self.failed)
        precision = self.writer.precision
        return ExtractionReport(done, skipped, self.failed, self.partly, len(self.changed), precision)


def _read_in_part(folder: Path) -> list[Failure]:
    path = folder / FAILURES
    return [Failure(**clip) for clip in read_json_object(path).get("read in part", [])] if path.exists() else []


def provenance(encoder: FrameEncoder) -> dict[str, Any]:
    """What a store keeps about the encoder of its features, and how they are computed."""
    made = {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
    made |= {"fps": encoder.sampling.fps, "domain": encoder.domain}
    return made | {"precision": getattr(encoder, "precision", "fp32")}


def words(result: Read[Any]) -> str:
    """What of a clip could not be read, in words."""
    reading = result.result()[1]
    return reading.words if reading else ""


def _keep(writer: StoreWriter, clip: Clip, result: Read[Any], head: ObjectHead | None, objects_k: int) -> str:
    """Hand one finished clip to the store; why that is not possible, "" if it is."""
    try:
        features, objects = result.result()[0], None
        if head is not None:  # of the features as the store keeps them, so that they can be computed again from it
            with np.errstate(over="ignore"):
                kept = np.asarray(features).astype(np.float16).astype(np.float32)
            objects = top_objects(head.logits(kept), min(objects_k, len(head.names)))
        writer.add(clip.id, features, clip.label, clip.path, objects)
    except Exception as error:
        return why_failed(error)
    return ""


def why_failed(error: BaseException) -> str:
    """Why a clip failed, in words; an error that is not about the clip, a full disk or weights that are not there, is
    raised."""
    if isinstance(error, CezsarError) and not isinstance(error, InputError):
        raise error
    return printable(str(error) if isinstance(error, CezsarError) else f"{type(error).__name__}: {error}")


def in_order(
    clips: Sequence[Clip], model: Any, encode: Callable[[Iterator[Frame]], T], workers: int | None = None,
    limits: Limits | None = None,
) -> Generator[tuple[Clip, Read[T]]]:  # fmt: skip
    """Each clip with what `encode` makes of the frames that `model.sampling` names, or its error, in the order of
    `clips`; `workers` are read at once."""
    workers, in_decoder = workers or os.cpu_count() or 1, getattr(model, "in_decoder", False)
    # Clips beside each other, a core each, are faster than all cores on one clip, which wait for each other.
    at_once = workers if getattr(model, "device", "") == "cpu" else 1
    turn = threading.Semaphore(at_once)
    free: SimpleQueue[Decoder] = SimpleQueue()

    def read(clip: Clip) -> tuple[T, Reading | None]:
        decoder = free.get()
        try:
            if in_decoder:
                made: Any = decoder.run(clip.path, model.sampling, encode)  # type: ignore[arg-type]
            else:  # where its turn has not come yet, the decoder goes ahead
                frames = decoder.frames(clip.path, model.sampling)
                ahead: list[Frame] = []
                for frame in frames:
                    ahead.append(frame)
                    if len(ahead) * frame.image.nbytes >= AHEAD_BYTES:
                        break
                with turn:
                    made = encode(chain(ahead, frames))
            return made, decoder.reading
        finally:
            free.put(decoder)

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers, "extract"))
        if at_once > 1:
            import torch

            threads = torch.get_num_threads()
            stack.callback(torch.set_num_threads, threads)
            torch.set_num_threads(max(1, threads // at_once))  # of threads that start from now on
        for _ in range(workers):
            free.put(stack.enter_context(Decoder(limits or Limits())))
        # Left in reverse order: nothing new begins, the decoders end what is under way, then the threads are awaited.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        under_way: deque[tuple[Clip, Read[T]]] = deque()
        for clip in clips:
            under_way.append((clip, pool.submit(read, clip)))
            if len(under_way) == WAITING * workers:
                under_way[0][1].exception()  # waits
                yield under_way.popleft()
        while under_way:
            under_way[0][1].exception()
            yield under_way.popleft()
