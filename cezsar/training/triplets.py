"""From annotated videos to training triplets (Estevam et al., ICPR 2026, Section 3.4), kept in one file.

Per annotated segment three random sub-clips; per sub-clip up to three positives (the human sentence, and the two
sentences about its recognised objects that are most similar to it); per positive ten hard negatives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cezsar.arrays import FloatArray
from cezsar.atomic import read_tensors, write_tensors
from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.objects import object_phrases, top_objects
from cezsar.errors import InputError
from cezsar.formats import VERSIONS, check_stamp
from cezsar.training import mining

KIND = "cezsar-triplets"
SENTENCES_AT_ONCE = 4096  # encoded between two reports of progress
IndexArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Triplets:
    """M sub-clips with P positives each and n negatives a positive, over N sentences."""

    video_ids: list[str]  # videos that have sub-clips
    video_M: IndexArray  # index into `video_ids`
    rows_M2: IndexArray  # first and past-the-last second of the sub-clip, rows of the feature store
    sentences: list[str]
    vectors_NS: FloatArray  # their frozen sentence vectors
    positives_MP: IndexArray  # sentence indices, column 0 the human sentence; -1 where an object sentence is absent
    negatives_MPn: IndexArray  # sentence indices; -1 where there were too few candidates
    record: dict[str, Any]  # how the file was made: settings, encoders with fingerprints, counts

    def __len__(self) -> int:
        """Number of (sub-clip, positive, negative) triplets."""
        return int((self.negatives_MPn >= 0).sum())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that training depends on."""
        digest = hashlib.sha256(json.dumps(self.video_ids).encode())
        for array in (self.video_M, self.rows_M2, self.vectors_NS, self.positives_MP, self.negatives_MPn):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file; texts as UTF-8 bytes with offsets."""
        encoded = [sentence.encode() for sentence in self.sentences]
        tensors: dict[str, npt.NDArray[Any]] = {
            "video": self.video_M, "rows": self.rows_M2, "vectors": self.vectors_NS,
            "positives": self.positives_MP, "negatives": self.negatives_MPn,
            "text": np.frombuffer(b"".join(encoded), np.uint8),
            "text_end": np.cumsum([len(text) for text in encoded], dtype=np.int64),
        }  # fmt: skip
        header = {
            "format": f"{KIND}-{VERSIONS[KIND]}",
            "record": json.dumps(self.record),
            "video_ids": json.dumps(self.video_ids),
        }
        write_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: str | Path) -> Triplets:
        """Read a file written by `save`. Raises `FormatError` if it is none, or its parts disagree."""
        with read_tensors(path, "make one with `cezsar mine`") as (arrays, header):
            kind, _, version = header["format"].rpartition("-")
            check_stamp(path, KIND, {"cezsar": kind, "version": version}, "make one with `cezsar mine`")
            text, ends = arrays.pop("text").tobytes(), arrays.pop("text_end").tolist()
            sentences = [text[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
            videos, record = json.loads(header["video_ids"]), dict(json.loads(header["record"]))
            names = ("video", "rows", "vectors", "positives", "negatives")
            video_M, rows_M2, vectors_NS, positives_MP, negatives_MPn = map(arrays.pop, names)
            M, N, indices = len(video_M), len(sentences), (video_M, rows_M2, positives_MP, negatives_MPn)
            fits = (
                [each.shape for each in indices[:2]] == [(M,), (M, 2)] and negatives_MPn.ndim == 3
                and positives_MP.shape == negatives_MPn.shape[:2] and vectors_NS.shape == (N, vectors_NS[0].size)
                and len(positives_MP) == M and {each.dtype.str for each in indices} == {"<i4"}
            )  # fmt: skip
            for each, least, end in ((video_M, 0, len(videos)), (positives_MP, -1, N), (negatives_MPn, -1, N)):
                fits = fits and each.min(initial=0) >= least and each.max(initial=-1) < end
            if not fits or not (rows_M2[:, 0] < rows_M2[:, 1]).all() or not (rows_M2 >= 0).all():
                raise ValueError("its parts do not go together")
            if not np.isfinite(vectors_NS).all() or not all(isinstance(video, str) for video in videos):
                raise ValueError("its vectors are not finite, or its videos have no names")
        return cls(videos, video_M, rows_M2, sentences, vectors_NS, positives_MP, negatives_MPn, record)


def sub_clip_rows(
    start_s: float, end_s: float, seconds: int, rng: np.random.Generator, max_s: int = 10
) -> tuple[int, int]:
    """One random sub-clip of a segment, as rows [first, stop) of the video's features: 1 to `max_s`, its start
    uniform."""
    first = int(start_s)
    stop = min(max(int(np.ceil(end_s)), first + 1), seconds)
    length = min(max_s, stop - first)
    offset = int(rng.integers(stop - first - length + 1))
    return first + offset, first + offset + length


def build(
    annotations: Annotations, store: FeatureStore, encoder: Encoder, rng: np.random.Generator,
    settings: MiningConfig | None = None, *, head: ObjectHead | None = None, record: dict[str, Any] | None = None,
    on_progress: mining.Progress = lambda done, total: None,
) -> Triplets:  # fmt: skip
    """Cut sub-clips, find their positives, and mine hard negatives among the human sentences of other videos. `rng`
    draws; `head` names objects, without it there are no object positives; `record` has further entries for the file's.
    Raises `InputError` where no annotated video is in the store, or no sub-clip has a hard negative."""
    settings = settings or MiningConfig()
    segments, missing, beyond = _with_features(annotations, store)
    videos, segment_groups = np.unique([segment.video_id for segment in segments], return_inverse=True)
    repeated = [segment for segment in segments for _ in range(settings.sub_clips)]
    lengths = {video_id: store.length(video_id) for video_id in videos.tolist()}
    rows_M2 = np.array([sub_clip_rows(s.start_s, s.end_s, lengths[s.video_id], rng) for s in repeated])
    video_M = np.repeat(segment_groups, settings.sub_clips)
    object_positives = settings.object_positives if head is not None else 0
    phrases = _phrases_of_sub_clips(repeated, rows_M2, store, head) if head is not None and object_positives else []
    human = [segment.sentence for segment in segments]
    texts = sorted({phrase for options in phrases for phrase in options})
    total, vectors = len(human) + len(texts) + len(video_M), list[FloatArray]()
    on_progress(0, total)
    for part in (human, texts):
        for first in range(0, len(part), SENTENCES_AT_ONCE):
            vectors.append(encoder.encode(part[first : first + SENTENCES_AT_ONCE]))
            on_progress(sum(map(len, vectors)), total)
    vectors_NS = np.concatenate(vectors)
    positives_MP = np.repeat(np.arange(len(human)), settings.sub_clips)[:, None]
    if phrases:
        chosen_MP = _most_similar(phrases, texts, vectors_NS[len(human) :], vectors_NS[positives_MP[:, 0]], settings)
        positives_MP = np.hstack([positives_MP, np.where(chosen_MP >= 0, chosen_MP + len(human), -1)])
    negatives_MPn, too_few = mining.mine(
        positives_MP, video_M, vectors_NS, segment_groups, rng, settings,
        lambda done, positives: on_progress(len(vectors_NS) + len(video_M) * done // positives, total),
    )  # fmt: skip
    if not (negatives_MPn >= 0).any():
        advice = "raise tau, or annotate more videos"
        raise InputError(f"no sub-clip has a hard negative under tau = {settings.tau}; {advice}")
    full_record = dict(record or {}) | {
        "feature_encoder": {key: store.provenance[key] for key in ("encoder", "fingerprint", "dim")},
        "sentence_encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim},
        "store": store.fingerprint, "tau": settings.tau, "negatives": settings.negatives,
        "sub_clips": settings.sub_clips, "object_positives": object_positives, "videos": len(videos),
        "videos_without_features": missing, "segments_beyond_the_film": beyond, "segments": len(segments),
        "triplets": int((negatives_MPn >= 0).sum()), "sub_clips_with_too_few_candidates": len(too_few),
        "fewest_candidates": min(too_few.values(), default=None),
    }  # fmt: skip
    return Triplets(
        videos.tolist(), video_M.astype(np.int32), rows_M2.astype(np.int32), human + texts, vectors_NS,
        positives_MP.astype(np.int32), negatives_MPn.astype(np.int32), full_record,
    )  # fmt: skip


def _with_features(annotations: Annotations, store: FeatureStore) -> tuple[list[Segment], int, int]:
    """Segments of the videos in the store; how many videos are not, and how many segments begin after their film's
    end."""
    segments = [segment for segment in annotations.segments if segment.video_id in store]
    missing = {segment.video_id for segment in annotations.segments} - {segment.video_id for segment in segments}
    if not segments:
        advice = "extract their features first, with file names equal to the video ids of the annotations"
        raise InputError(f"none of the {len(missing)} annotated videos is in the store; {advice}")
    within = [segment for segment in segments if segment.start_s < store.length(segment.video_id)]
    if not within:
        told = f"all {len(segments):,} segments begin after the end of their films"
        raise InputError(f"{told}; are these the annotated films?")
    return within, len(missing), len(segments) - len(within)


def head_of_store(store: FeatureStore, weights: str | Path | None = None) -> ObjectHead | None:
    """The object head of the encoder that made a store; None if it names no objects. Loads that encoder."""
    from cezsar import encoders

    return encoders.create(store.provenance["encoder"], weights=weights).object_head


def _phrases_of_sub_clips(
    segment_M: Sequence[Segment], rows_M2: npt.NDArray[np.int64], store: FeatureStore, head: ObjectHead
) -> list[list[str]]:
    """Sentences of 5 to 20 words about the top objects of each sub-clip."""
    phrases, video_id, logits_TK = [], None, np.empty((0, 0), np.float32)
    for segment, (first, stop) in zip(segment_M, rows_M2.tolist(), strict=True):
        if segment.video_id != video_id:
            video_id, logits_TK = segment.video_id, head.logits(store.features(segment.video_id))
        phrases.append(object_phrases(head, top_objects(logits_TK[first:stop])[0]))
    return phrases


def _most_similar(
    phrases: list[list[str]], texts: list[str], vectors: FloatArray, anchors_MS: FloatArray, settings: MiningConfig
) -> npt.NDArray[np.int64]:
    """(M, object positives) indices into `texts` of each sub-clip's phrases nearest to its human sentence by cosine."""
    position = {text: index for index, text in enumerate(texts)}
    unit_texts, unit_anchors = mining.unit(vectors), mining.unit(anchors_MS)
    chosen = np.full((len(phrases), settings.object_positives), -1, np.int64)
    for row, options in enumerate(phrases):
        indices = np.array([position[phrase] for phrase in dict.fromkeys(options)], np.int64)
        order = np.argsort(-(unit_texts[indices] @ unit_anchors[row]), kind="stable")[: settings.object_positives]
        chosen[row, : len(order)] = indices[order]
    return chosen
