"""The same extraction over a Ray cluster, whose machines see the videos and the store under the same paths.

Each task is the extraction of a shard's worth of clips, by the engine of one machine, into a store of its own, which
the store then takes over. So a worker that is killed costs its shard, and Ray has it done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cezsar.data.extraction import ExtractionReport, Failure, Work, extract, provenance
from cezsar.data.features import ObjectVocabulary, StoreWriter
from cezsar.data.manifest import Clip
from cezsar.encoders.base import FrameEncoder
from cezsar.errors import CezsarError
from cezsar.video import Limits

PARTS = ".parts"  # in the store's folder: stores of tasks, until it takes them over


class Worker:
    """An actor of the cluster: it loads the encoder once, and then does task after task."""

    def __init__(self, make: Callable[[], FrameEncoder], parts: Path, options: dict[str, Any]) -> None:
        self.encoder, self.parts, self.options = make(), parts, options

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        clips = [Clip(Path(path), id, label) for path, id, label in json.loads(row["clips"])]
        told = extract(clips, self.encoder, self.parts / row["part"], shard_videos=len(clips) + 1, **self.options)
        return {"part": row["part"], "clips": len(clips), "failed": json.dumps([told.failed, told.partly])}


def extract_on_ray(
    clips: Sequence[Clip], make: Callable[[], FrameEncoder], store_folder: str | Path, *, address: str | None = None,
    workers: int | None = None, gpus: float = 0.0, limits: Limits | None = None, objects_k: int = 10,
    shard_videos: int = 256, on_progress: Callable[[int, int, int], object] = lambda stored, clips, failed: None,
) -> ExtractionReport:  # fmt: skip
    """`extract` by `workers` actors, as many as this machine has cores by default, each with the encoder that `make`
    gives and so many GPUs; by default on a cluster that is started here and ends with it. Raises `CezsarError` where
    Ray is not installed."""
    workers = workers or os.cpu_count() or 1
    try:
        import ray
    except ImportError as error:
        raise CezsarError('Ray is not installed; install it with: pip install "cezsar[ray]"') from error
    encoder = make()
    head = encoder.object_head if objects_k else None
    vocabulary = None if head is None else ObjectVocabulary(head.names, head.definitions, head.fingerprint)
    with StoreWriter(store_folder, provenance(encoder), vocabulary=vocabulary) as writer:
        parts = writer.folder.resolve() / PARTS
        for left in sorted(parts.glob("*/shard-*.h5")):  # of a run that was killed
            if left.parent.is_dir():
                Work(writer, []).adopt(left.parent)
        work, rows = Work(writer, clips), []
        for number, first in enumerate(range(0, len(work.waiting), shard_videos)):
            some = work.waiting[first : first + shard_videos]
            told = json.dumps([[str(clip.path.resolve()), clip.id, clip.label] for clip in some])
            rows.append({"part": f"{number:06d}", "clips": told})
        if rows:
            mine = address is None
            ray.init(address, num_cpus=workers if mine else None, include_dashboard=False, log_to_driver=False)
            try:
                ray.data.DataContext.get_current().execution_options.preserve_order = True
                options = {"limits": limits, "objects_k": objects_k, "workers": 2}  # one decodes, one encodes
                actor: Any = Worker
                done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                    actor, fn_constructor_args=(make, parts, options), concurrency=workers, num_cpus=1, num_gpus=gpus
                )
                seen = len(clips) - len(work.waiting)
                for row in done.iter_rows():
                    failed, partly = ([Failure(*each) for each in some] for some in json.loads(row["failed"]))
                    work.failed, work.partly = work.failed + failed, work.partly + partly
                    work.flush()
                    if any((parts / row["part"]).glob("shard-*.h5")):
                        writer.adopt(parts / row["part"])
                    seen += row["clips"]
                    on_progress(seen - len(work.failed), len(clips), len(work.failed))
            finally:
                ray.shutdown()
        work.flush()
    return work.report()
