"""A run for photographs and real video, made without any video: from the weights of a classifier.

Each row of a classifier's last layer is the visual prototype of an object that has a name and a definition. So rows and
definitions are pairs of the kind that Eq. 5 and 6 are trained on, and the map between them has a closed form:

    SE(s) = s - μ                       μ, the mean of the names' sentence vectors
    VE(v) = c M mean_t(f_t)             M, ridge regression of the definitions' vectors on the rows

O is the sum of the recognised objects' names (rule "names"), in the same space. `benchmarks/photographs.py` holds this
against the triplet loss on the same pairs, and against the paper's O(v).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.model import CEZSAR, ModelConfig
from cezsar.training.mining import unit
from cezsar.training.runs import Familiarity, Run, RunConfig, TrainingConfig

FloatArray = npt.NDArray[np.float32]

RIDGE = 1.0
SCALE = 1 / 12  # c: so that VE of an ordinary clip is about as long as its O
FUSION = {"alpha": 0.3, "beta": 0.7, "gamma": 0.2}
OBJECTS = 50
MAX_NAMES = 1000  # of a large vocabulary, enough to know their mean by


def run_of_rows(
    folder: str | Path,
    encoder: FrameEncoder,
    sentences: Encoder,
    *,
    ridge: float = RIDGE,
    clips: Sequence[FloatArray] = (),
) -> Run:
    """Make the run and write it.

    Args:
        encoder: of frames, with an object head that is linear in its features.
        ridge: weight of the squared norm of M.
        clips: (T_i, D) features of ordinary clips, ten at least: they say what is familiar. Without them the run does
            not tell a clip that looks like nothing it knows.

    Raises:
        InputError: the encoder has no such head, or the folder already holds a run.
    """
    head = encoder.object_head
    if not isinstance(head, LinearHead) or head.unit_norm:
        raise InputError(f"{encoder.name} has no classifier whose rows could be used; take efficientnet, bit or timm:")
    names_KS = unit(sentences.encode(head.names[:: -(-len(head.names) // MAX_NAMES)]))
    definitions_KS = unit(
        sentences.encode([f"{n} {d}".strip() for n, d in zip(head.names, head.definitions, strict=True)])
    )
    config = RunConfig(
        ModelConfig(encoder.dim, sentences.dim, d_model=2, d_emb=sentences.dim, recipe="linear"),
        TrainingConfig(),
        {"name": encoder.name, "fingerprint": encoder.fingerprint},
        {"name": sentences.name, "fingerprint": sentences.fingerprint},
        domain=f"photographs of {len(head.names):,} kinds of objects, and no video",
        objects=OBJECTS,
        object_rule="names",
        fusion=FUSION,
    )
    run = Run.create(folder, config)
    model = CEZSAR(config.model)
    with torch.no_grad():
        model.visual.project.weight.copy_(SCALE * torch.from_numpy(ridge_map(head.weight, definitions_KS, ridge).T))
        model.visual.project.bias.zero_()
        model.sentence.weight.copy_(torch.eye(sentences.dim))
        model.sentence.bias.copy_(torch.from_numpy(-names_KS.mean(0)))
    if clips:
        familiar_with(clips).save(run.folder / "domain.safetensors")
    run.save_model(model)
    return run


def ridge_map(rows_KD: FloatArray, targets_KS: FloatArray, ridge: float = RIDGE) -> FloatArray:
    """(D, S) M that minimises Σ_k ||(w_k - mean w) M - (t_k - mean t)||² + ridge ||M||².

    Raises:
        InputError: a ridge not above 0.
    """
    if not ridge > 0:
        raise InputError(f"ridge is {ridge}; it must be above 0")
    rows_KD = np.asarray(rows_KD, np.float64) - rows_KD.mean(0)
    targets_KS = np.asarray(targets_KS, np.float64) - targets_KS.mean(0)
    inverse_DD = rows_KD.T @ rows_KD + ridge * np.eye(rows_KD.shape[1])
    return np.linalg.solve(inverse_DD, rows_KD.T @ targets_KS).astype(np.float32)


def familiar_with(clips: Sequence[FloatArray]) -> Familiarity:
    """What ordinary clips look like, second by second; `typical` is that of clips that it was not fitted on.

    Raises:
        InputError: fewer than ten clips.
    """
    if len(clips) < 10:
        raise InputError(f"{len(clips)} clips are too few to say what is familiar; give ten at least")
    rng = np.random.default_rng(0)
    whole = Familiarity.fit(np.concatenate(clips), rng)
    left_out = []
    for index, clip_TD in enumerate(clips):
        others = Familiarity.fit(np.concatenate([*clips[:index], *clips[index + 1 :]]), rng)
        left_out.append(others.distance(clip_TD) * others.typical)
    return Familiarity(
        whole.columns_D, whole.mean_D, whole.std_D, whole.directions_KD, float(np.quantile(left_out, 0.99))
    )
