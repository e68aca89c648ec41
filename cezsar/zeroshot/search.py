"""The nearest of very many: which of ten million clips show this, and which of a million sentences suit a clip.

Exact by default and in blocks, so that memory stays flat however many rows there are: products in float32 leave a few
candidates, which float64 puts in order. So an answer depends on no block, and equal rows come in the order they stand
in. A FAISS index (`pip install "cezsar[faiss]"`) is faster and approximate: it may miss rows.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from cezsar import workspace
from cezsar.arrays import FloatArray, IntArray, unit_rows
from cezsar.atomic import replacing
from cezsar.data.descriptions import described
from cezsar.data.documents import decoded_file
from cezsar.data.features import FeatureStore, provenance_of
from cezsar.encoders.compute import pick_device
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.training.runs import Run
from cezsar.zeroshot import spaces
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.methods import image_text_space, reads_text
from cezsar.zeroshot.scored import digest
from cezsar.zeroshot.scores import refuse_non_finite
from cezsar.zeroshot.spaces import Descriptions, Progress, Space
from cezsar.zeroshot.tables import DIGITS, no_formula

Rows = npt.NDArray[np.floating[Any]]  # (N, E) float32 or float16, as a rule a memory map
Found = tuple[FloatArray, IntArray]  # products and row numbers, best first

BLOCK_BYTES = 16 << 20  # of float32, of rows and of products: little enough to stay near the processor
QUERIES = 4096  # that are compared at once
PAIRS = 1 << 14  # of a query and a row whose product is taken again at once, in float64
SPARE = 8  # rows of a block beyond k that are looked at, as rounding may have put them behind
ROUNDING = 2.0**-22  # times the width and both lengths: more than a float32 product is ever off by
PROBED, TRAINED_ON = 96, 40  # cells of an index that are looked into; rows for each cell that it is trained on
SENTENCES = 1 << 14  # that are embedded before they are kept
VERSION = 1  # of what is kept
FIELDS = ("id", "label", "path")
RUN_FILES = ("config.json", "model.safetensors", "objects.safetensors", "seen.safetensors")  # that tell embeddings


def nearest(queries_QE: Rows, rows_NE: Rows, k: int, index: Any = None, progress: Progress | None = None) -> Found:
    """(Q, k) inner products and row numbers of the k rows that each query has the greatest inner product with, best
    first, of equal ones the lower number; of unit rows it is cosine similarity. An `index` of the same rows proposes
    them instead, and may miss some. Raises `InputError` where k is not from 1 to N, widths differ, or a number is not
    finite."""
    if not 1 <= k <= len(rows_NE):
        raise InputError(f"the {k:,} nearest of {len(rows_NE):,} were asked for; choose from 1 to {len(rows_NE):,}")
    if queries_QE.shape[1] != rows_NE.shape[1]:
        raise InputError(f"queries have {queries_QE.shape[1]} columns, rows {rows_NE.shape[1]}: not of one space")
    products_Qk, found_Qk = np.empty((len(queries_QE), k), np.float32), np.empty((len(queries_QE), k), np.int64)
    for first in range(0, len(queries_QE), QUERIES):
        part = slice(first, first + QUERIES)
        some_QE = np.array(queries_QE[part], np.float32)
        refuse_non_finite(some_QE, range(first, first + len(some_QE)), _named("query", queries_QE))

        def told(rows: int, done: int = first, of: int = len(some_QE)) -> None:
            if progress:
                progress(done + of * rows // len(rows_NE), len(queries_QE))

        if index is None:
            products_Qk[part], found_Qk[part] = _in_blocks(some_QE, rows_NE, k, told)
        else:
            products_Qk[part], found_Qk[part] = _proposed(some_QE, rows_NE, k, index)
            told(len(rows_NE))
    return products_Qk, found_Qk


def _in_blocks(queries_QE: FloatArray, rows_NE: Rows, k: int, told: Callable[[int], object]) -> Found:
    device = pick_device()
    queries = torch.from_numpy(queries_QE).to(device)
    reach_Q1 = ROUNDING * queries.shape[1] * torch.linalg.vector_norm(queries, dim=1, keepdim=True)
    floor_Q1 = torch.full_like(reach_Q1, -torch.inf)  # the k-th best product so far
    products_Qk, found_Qk = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    size = min(len(rows_NE), max(1, BLOCK_BYTES // (4 * max(queries.shape))))
    floats = torch.empty(size, queries.shape[1])  # once: memory that is new to a process is slow
    for first in range(0, len(rows_NE), size):
        rows_BE = np.array(rows_NE[first : first + size])
        rows = floats[: len(rows_BE)].copy_(torch.from_numpy(rows_BE))
        longest = float(np.einsum("be,be->b", rows.numpy(), rows.numpy()).max()) ** 0.5
        if not np.isfinite(longest):
            refuse_non_finite(rows_BE, range(first, first + size), _named("row", rows_NE))
        products_QB, slack_Q1 = queries @ rows.to(device).T, reach_Q1 * longest
        some_n = (products_QB.amax(dim=1, keepdim=True) >= floor_Q1 - slack_Q1).nonzero()[:, 0]  # queries it serves
        products_nB, slack_n1 = products_QB[some_n], slack_Q1[some_n]
        best_nK, place_nK = products_nB.topk(min(k + SPARE, len(rows)), dim=1)
        least_n1 = torch.maximum(floor_Q1[some_n], best_nK[:, min(k, len(rows)) - 1, None] - slack_n1) - slack_n1
        if best_nK.shape[1] < len(rows) and (best_nK[:, -1:] >= least_n1).any():  # there may be more
            best_nK, place_nK = products_nB, torch.arange(len(rows), device=device).expand_as(products_nB)
        near_nK = best_nK >= least_n1
        owner = some_n[near_nK.nonzero()[:, 0]].cpu().numpy()
        place = place_nK[near_nK].cpu().numpy()
        if len(owner):
            so_far = np.arange(len(queries)).repeat(found_Qk.shape[1])
            products_Qk, found_Qk = _best(
                np.concatenate([so_far, owner]),
                np.concatenate([products_Qk.ravel(), _exactly(queries_QE, rows_BE, owner, place)]),
                np.concatenate([found_Qk.ravel(), place + first]), min(k, first + len(rows)),
            )  # fmt: skip
            if found_Qk.shape[1] == k:
                floor_Q1 = torch.from_numpy(products_Qk[:, -1:].copy()).to(device)
        if isinstance(rows_NE, np.memmap) and rows_NE.mode == "r":
            rows_NE._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # what was read need not stay
        told(min(first + size, len(rows_NE)))
    return products_Qk, found_Qk


def _named(what: str, rows_NE: Rows) -> str:
    return f"{rows_NE.filename}: {what}" if isinstance(rows_NE, np.memmap) else what


def _proposed(queries_QE: FloatArray, rows_NE: Rows, k: int, index: Any) -> Found:
    """By an index; a query for which it finds fewer than k is compared with all rows."""
    found_Qk = index.search(queries_QE, k)[1]
    products_Qk, short = np.empty(found_Qk.shape, np.float32), (found_Qk < 0).any(1)
    owner = np.arange(np.count_nonzero(~short)).repeat(k)
    place = found_Qk[~short].ravel()
    exact = _exactly(queries_QE[~short], rows_NE, owner, place)
    products_Qk[~short], found_Qk[~short] = _best(owner, exact, place, k)
    if short.any():
        products_Qk[short], found_Qk[short] = _in_blocks(queries_QE[short], rows_NE, k, lambda rows: None)
    return products_Qk, found_Qk


def _exactly(queries_QE: FloatArray, rows_NE: Rows, owner_C: IntArray, place_C: IntArray) -> FloatArray:
    """(C,) inner products of pairs, as float64 has them: the same wherever the two stand."""
    products_C = np.empty(len(owner_C), np.float32)
    for first in range(0, len(owner_C), PAIRS):
        part = slice(first, first + PAIRS)
        products_C[part] = (queries_QE[owner_C[part]].astype(np.float64) * rows_NE[place_C[part]]).sum(axis=1)
    return products_C


def _best(owner_C: IntArray, products_C: FloatArray, place_C: IntArray, k: int) -> Found:
    """(Q, k) of each query's candidates the k best; every query has as many or more."""
    order = np.lexsort((place_C, -products_C, owner_C))
    owner_C = owner_C[order]
    kept = order[np.arange(len(order)) - np.searchsorted(owner_C, owner_C) < k]
    return products_C[kept].reshape(-1, k), place_C[kept].reshape(-1, k)


def index_of(rows_NE: Rows, path: Path) -> Any:
    """The FAISS index kept at `path`, made there first: rows as float16 in as many cells as the root of their number,
    of which an answer looks into `PROBED`. Raises `CezsarError` where FAISS is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise CezsarError('FAISS is not installed; install it with: pip install "cezsar[faiss]"') from error
    if not path.is_file():
        count, width = rows_NE.shape
        cells = int(count**0.5)
        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        made = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, cells, kind, metric)
        made.cp.spherical, made.cp.min_points_per_centroid = True, 1  # centres of length 1, as rows; no warnings
        some = np.random.default_rng(0).choice(count, min(count, TRAINED_ON * cells), replace=False)
        made.train(rows_NE[np.sort(some)].astype(np.float32))
        for first in range(0, count, 1 << 16):
            made.add(rows_NE[first : first + (1 << 16)].astype(np.float32))
        with replacing(path) as temporary:
            faiss.write_index(made, str(temporary))
    try:
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except Exception as error:  # of a library in C++
        raise FormatError(f"{path} is damaged ({str(error)[-100:]}); remove it, and it is made again") from error
    if (index.ntotal, index.d) != rows_NE.shape:
        raise FormatError(f"{path} is of other rows; remove it, and it is made again")
    index.nprobe = PROBED
    return index


# Clips and sentences, kept -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gallery:
    """The clips of a store in the space of a run or of an image-text model."""

    space: Space
    known: Descriptions  # labels which the run has sentences for
    made_by: Sequence[str]  # what tells the space from others
    folder: Path  # where it is kept
    rows_NE: Rows  # VidE of Eq. 9, of length 1: its product with a unit prototype is the cosine of Eq. 8
    about_N: npt.NDArray[Any]  # `FIELDS` of each clip, in UTF-8


class Match(NamedTuple):
    """A clip and a text that go together; a line of the files."""

    text: str  # a label, or a sentence
    rank: int  # from 1, among the clips for a label, or the sentences for a clip
    similarity: float  # cosine
    clip: str
    label: str  # of the clip in its store, or ""
    path: str  # of its video, or ""


def open_gallery(
    store: Path, run: Run | None = None, *, alpha: float | None = None, beta: float | None = None, half: bool = False,
    encoder_weights: Path | None = None, progress: Progress | None = None,
) -> Gallery:  # fmt: skip
    """Clips as a run sees them, or without one the image-text model that made the store. They are embedded where the
    workspace does not have them yet, and kept as float32, or float16 if `half`; a stopped attempt goes on. Raises
    `MismatchError` for a store of another encoder, `InputError` for one whose encoder reads no text, without a run."""
    made = provenance_of(store)
    if run is not None:
        run.check_feature_encoder(made["encoder"], made["fingerprint"])
        space, weights = spaces.space_for(run), Weights(**run.config.fusion)
        made_by = [digest(path) for name in RUN_FILES if (path := run.folder / name).is_file()]
    elif reads_text(made):
        space, weights = image_text_space(made, store, encoder_weights), Weights.only("VE")
        made_by = [made["fingerprint"]]
    else:
        raise InputError(
            f"{store} is of encoder {made['encoder']}, which reads no text; give a run that was trained on it"
        )
    weights = weights.changed(alpha=alpha, beta=beta)
    shards = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(store.glob("shard-*.h5"))]
    folder = _folder(made_by, asdict(weights), str(store.resolve()), shards, half)
    rows, about = folder / "rows.npy", folder / "clips.npy"
    width = space.sentences(["a clip"]).shape[1]
    if not rows.is_file():
        opened = FeatureStore(store)
        told = [(id.encode(), opened.labels[id].encode(), opened.paths[id].encode()) for id in opened.ids]
        widths = [max(1, *map(len, column)) for column in zip(*told, strict=True)]
        with replacing(about) as temporary:
            np.save(
                temporary, np.array(told, [(name, f"S{width}") for name, width in zip(FIELDS, widths, strict=True)])
            )
        _keep(rows, (len(opened), width), half, lambda done: _embedded(space, opened, run, weights, done), progress)
    rows_NE, about_N = _kept(rows, width), _kept(about)
    if len(rows_NE) != len(about_N):
        raise FormatError(f"{folder} is not all of one making; remove it, and it is made again")
    return Gallery(space, run.descriptions() if run else {}, made_by, folder, rows_NE, about_N)


def _embedded(space: Space, store: FeatureStore, run: Run | None, weights: Weights, done: int) -> Iterator[FloatArray]:
    """Unit VidE of a store's clips from one on, a block at a time."""
    rule, objects = spaces.objects_counted(run)
    blocks = spaces.clip_blocks(space, store, store.ids[done:], run, rule, objects if weights.beta else 0)
    for visual_BE, found in blocks:
        parts = [np.float32(weights.alpha) * visual_BE] if weights.alpha and visual_BE is not None else []
        if any(found):
            parts.append(np.float32(weights.beta) * spaces.object_rows(space, found, rule))
        if not parts:
            raise InputError(f"alpha = {weights.alpha:g} leaves nothing of {store.folder}, where no objects are known")
        rows_BE = unit_rows(np.sum(parts, axis=0))
        refuse_non_finite(rows_BE, store.ids[done : done + len(rows_BE)], "the embedding of clip")
        done += len(rows_BE)
        yield rows_BE


@dataclass(frozen=True, eq=False)
class Texts:
    """Sentences in the space of a gallery."""

    texts: Sequence[str]
    folder: Path  # where it is kept
    rows_NE: Rows  # of length 1


def open_sentences(
    gallery: Gallery, texts: Sequence[str], half: bool = False, progress: Progress | None = None
) -> Texts:
    """Sentences, embedded and kept as the clips of a gallery are."""

    def blocks(done: int) -> Iterator[FloatArray]:
        for first in range(done, len(texts), SENTENCES):
            yield unit_rows(gallery.space.sentences(texts[first : first + SENTENCES]))

    folder = _folder(gallery.made_by, hashlib.sha256("\n".join(texts).encode()).hexdigest(), half)
    _keep(folder / "rows.npy", (len(texts), gallery.rows_NE.shape[1]), half, blocks, progress)
    rows_NE = _kept(folder / "rows.npy", gallery.rows_NE.shape[1])
    if len(rows_NE) != len(texts):
        raise FormatError(f"{folder} has not a row for each sentence; remove it, and it is made again")
    return Texts(texts, folder, rows_NE)


def _folder(*made_of: Any) -> Path:
    key = hashlib.sha256(json.dumps([VERSION, *made_of]).encode()).hexdigest()[:32]
    return workspace.folder("cache") / "search" / key


def _kept(path: Path, width: int = 0) -> npt.NDArray[Any]:
    """A map of rows of a width, or of `FIELDS`."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        kinds = array.dtype.kind if width else {name: array.dtype[name].kind for name in array.dtype.names or ()}
        if (kinds, array.shape[1:]) != (("f", (width,)) if width else (dict.fromkeys(FIELDS, "S"), ())):
            raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
        return array
    except Exception as error:  # damage shows itself in many ways
        raise FormatError(f"{path} is damaged ({error}); remove its folder, and it is made again") from error


def _keep(
    path: Path, shape: tuple[int, int], half: bool, blocks: Callable[[int], Iterator[FloatArray]],
    progress: Progress | None,
) -> None:  # fmt: skip
    """Write rows as .npy where they are not there yet. They are added to a file beside it, which is renamed when it is
    whole: after a stop, `blocks` is asked for those that lack."""
    head, kind = io.BytesIO(), np.dtype("<f2" if half else "<f4")
    np.lib.format.write_array_header_1_0(head, {"descr": kind.str, "fortran_order": False, "shape": shape})
    part, ahead, row_bytes = path.with_name("rows.part"), head.tell(), shape[1] * kind.itemsize
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(".lock")):
        if path.is_file():
            return
        with part.open("ab") as file:
            done = max(0, file.tell() - ahead) // row_bytes
            file.truncate(ahead + done * row_bytes if done else 0)
            if not done:
                file.write(head.getbuffer())
            for rows_BE in blocks(done):
                file.write(np.ascontiguousarray(rows_BE, kind).data)
                done += len(rows_BE)
                if progress:
                    progress(done, shape[0])
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


# Answers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Matches:
    """Q answers of k hits each, best first."""

    gallery: Gallery
    texts: Sequence[str]
    products_Qk: FloatArray
    text_Qk: IntArray
    clip_Qk: IntArray

    def __iter__(self) -> Iterator[Match]:
        for answer in zip(self.products_Qk, self.text_Qk, self.clip_Qk, strict=True):
            for rank, (product, text, clip) in enumerate(
                zip(*(each.tolist() for each in answer), strict=True), start=1
            ):
                about = (value.decode("utf-8", "replace") for value in self.gallery.about_N[clip].tolist())
                yield Match(self.texts[text], rank, product, *about)


def showing(
    gallery: Gallery, labels: Sequence[str] | Descriptions, k: int, approximate: bool = False,
    progress: Progress | None = None,
) -> Matches:  # fmt: skip
    """The k clips which show each label best, of several sentences by the nearest; labels are read as by `Classifier`,
    and `approximate` asks an index. Raises `InputError` for a label that means nothing to the run."""
    classes = labels if isinstance(labels, Mapping) else described(labels, gallery.known)
    names, prototypes_PE, owner_P = spaces.prototypes_of(gallery.space, classes)
    some = prototypes_PE.any(axis=1)
    if dead := sorted(set(range(len(names))) - set(owner_P[some].tolist())):
        raise InputError(f"{names[dead[0]]!r} embeds to nothing but zeros in this space; describe it in other words")
    prototypes_PE, owner_P, k = prototypes_PE[some], owner_P[some], min(k, len(gallery.rows_NE))
    index = index_of(gallery.rows_NE, gallery.folder / "index.faiss") if approximate else None
    products_Pk, found_Pk = nearest(unit_rows(prototypes_PE), gallery.rows_NE, k, index, progress)
    owner, products, found = owner_P.repeat(k), products_Pk.ravel(), found_Pk.ravel()
    order = np.lexsort((-products, found, owner))
    first = np.diff(owner[order] * len(gallery.rows_NE) + found[order], prepend=-1) != 0  # of a class and a clip
    one_each = order[first]
    products_Ck, clip_Ck = _best(owner[one_each], products[one_each], found[one_each], k)
    return Matches(gallery, names, products_Ck, np.broadcast_to(np.arange(len(names))[:, None], clip_Ck.shape), clip_Ck)


def suiting(
    gallery: Gallery, sentences: Texts, k: int, clips: Sequence[str] = (), approximate: bool = False,
    progress: Progress | None = None,
) -> Matches:  # fmt: skip
    """The k sentences which suit each clip best, all clips or those of some ids. Raises `InputError` for an id that is
    not there."""
    chosen = [np.flatnonzero(gallery.about_N["id"] == clip.encode()) for clip in clips]
    if lacking := [clip for clip, place in zip(clips, chosen, strict=True) if not len(place)]:
        raise InputError(f"the store has no clip {lacking[0]!r}; give ids as `cezsar extract` made them")
    places_Q = np.concatenate(chosen) if clips else np.arange(len(gallery.rows_NE))
    index = index_of(sentences.rows_NE, sentences.folder / "index.faiss") if approximate else None
    queries_QE = gallery.rows_NE[places_Q] if clips else gallery.rows_NE
    products_Qk, text_Qk = nearest(queries_QE, sentences.rows_NE, min(k, len(sentences.texts)), index, progress)
    return Matches(gallery, sentences.texts, products_Qk, text_Qk, np.broadcast_to(places_Q[:, None], text_Qk.shape))


def read_sentences(path: Path) -> list[str]:
    """A sentence a line of a text file, each once. Raises `FormatError` where there is none."""
    lines = dict.fromkeys(" ".join(line.split()) for line in decoded_file(path).splitlines())
    lines.pop("", None)
    if not lines:
        raise FormatError(f"{path} holds no sentence; write one to a line")
    return list(lines)


def write(path: Path, hits: Matches) -> None:
    """Write hits as a CSV table, or as JSON where `path` ends so, one after the other."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rounded = (hit._replace(similarity=round(hit.similarity, DIGITS)) for hit in hits)
        if path.suffix.lower() == ".json":
            for number, hit in enumerate(rounded):
                file.write((",\n" if number else "[\n") + json.dumps(hit._asdict(), ensure_ascii=False))
            file.write("\n]\n")
        else:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(Match._fields)
            table.writerows(map(no_formula, hit) for hit in rounded)
