"""A run for photographs and real video, made without any video: from the weights of a classifier.

Each row of a classifier's last layer is the visual prototype of an object that has a name and a definition: pairs of
the kind that Eq. 5 and 6 are trained on, and the map between them has a closed form, brought to length 1:

    SE(s) = kernel PCA of s             with the names' sentence vectors as landmarks
    VE(v) = M mean_t(f_t)               M, ridge regression of SE(name) and SE(definition) on the rows

The kernel exp(b (cos - 1)) lets an object speak for the labels close to it, and not a little for all. O is the sum of
the recognised objects' names. `benchmarks/photographs.py` holds this against the triplet loss on the same pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cezsar.arrays import FloatArray, unit_rows
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.model import CEZSAR, KernelSentence
from cezsar.training.mining import unit
from cezsar.training.runs import OodDistance, Run, RunConfig

RIDGE = 1.0
SHARPNESS = 8.0  # b of the kernel
WIDTH = 384  # E, the components that are kept
FUSION = {"alpha": 0.5, "beta": 0.5, "gamma": 0.2}
OBJECTS = 50
MAX_LANDMARKS = 1000  # names of a large vocabulary that are landmarks, evenly spaced


@torch.no_grad()
def run_of_rows(
    folder: str | Path, encoder: FrameEncoder, sentences: Encoder, *, ridge: float = RIDGE,
    sharpness: float = SHARPNESS, clips: Sequence[FloatArray] = (),
) -> Run:  # fmt: skip
    """Make the run and write it; `ridge` is the weight of the squared norm of M, `sharpness` b of the kernel. `clips`,
    (T_i, D) features of ordinary clips, ten at least, say what is familiar. Raises `InputError` where the encoder has
    no object head that is linear in its features, `ridge` is not above 0, or the folder holds a run."""
    head = encoder.object_head
    if not isinstance(head, LinearHead) or head.unit_norm:
        raise InputError(f"{encoder.name} has no classifier whose rows could be used; take efficientnet, bit or timm:")
    if not ridge > 0:
        raise InputError(f"ridge is {ridge}; it must be above 0")
    branch = kernel_pca(unit(sentences.encode(head.names[:: -(-len(head.names) // MAX_LANDMARKS)])), sharpness)
    defined = [f"{name} {definition}".strip() for name, definition in zip(head.names, head.definitions, strict=True)]
    spoken_KE = [branch(torch.from_numpy(sentences.encode(texts))).numpy() for texts in (head.names, defined)]
    landmarks, d_emb = branch.components.in_features, branch.components.out_features
    shape = ModelConfig(encoder.dim, sentences.dim, landmarks, d_emb, heads=1, recipe="kernel")
    frames, words = ({"name": each.name, "fingerprint": each.fingerprint} for each in (encoder, sentences))
    domain = f"photographs of {len(head.names):,} kinds of objects, and no video"
    how: dict[str, Any] = {"domain": domain, "objects": OBJECTS, "object_rule": "names", "fusion": FUSION}
    config = RunConfig(shape, TrainingConfig(), frames, words, **how)
    begun = not (Path(folder) / "model.safetensors").exists()  # and stopped before it was whole, if it is there
    run, model = Run.create(folder, config, resume=begun), CEZSAR(config.model)
    model.sentence = branch
    map_DE = ridge_map(head.weight, np.mean(spoken_KE, axis=0, dtype=np.float32), ridge)
    model.visual.project.weight.copy_(torch.from_numpy(map_DE.T))
    model.visual.project.bias.zero_()
    if clips:
        ood_distance_of(clips).save(run.folder / "domain.safetensors")
    run.save_model(model.half())  # half the size; the closed form is good to a few digits only
    return run


@torch.no_grad()
def kernel_pca(landmarks_MS: FloatArray, sharpness: float) -> KernelSentence:
    """The sentence branch whose components are the kernel PCA of the landmarks, taken from their mean vector: of
    sentence s, Σ_m a_me (k(s, l_m) - mean_n k(l_n, l_m)), a_e an eigenvector of the centred kernel matrix by the root
    of its eigenvalue."""
    center_S = landmarks_MS.mean(0, dtype=np.float64)
    unit_MS = unit_rows(landmarks_MS - center_S)
    kernel_MM = np.exp(sharpness * (unit_MS @ unit_MS.T - 1))
    mean_M = kernel_MM.mean(0)
    values_M, vectors_MM = np.linalg.eigh(kernel_MM - mean_M - mean_M[:, None] + mean_M.mean())
    kept = np.flatnonzero(values_M > 1e-6 * values_M[-1])[::-1][:WIDTH]
    components_ME = vectors_MM[:, kept] / np.sqrt(values_M[kept])
    branch = KernelSentence(landmarks_MS.shape[1], len(landmarks_MS), len(kept))
    branch.center.copy_(torch.from_numpy(center_S))
    branch.landmarks.weight.copy_(torch.from_numpy(sharpness * unit_MS))
    branch.landmarks.bias.fill_(-sharpness)
    branch.components.weight.copy_(torch.from_numpy(components_ME.T))
    branch.components.bias.copy_(torch.from_numpy(-mean_M @ components_ME))
    return branch


def ridge_map(rows_KD: FloatArray, targets_KS: FloatArray, ridge: float = RIDGE) -> FloatArray:
    """(D, S) M that minimises Σ_k ||(w_k - mean w) M - (t_k - mean t)||² + ridge ||M||²."""
    rows_KD = np.asarray(rows_KD, np.float64) - rows_KD.mean(0)
    targets_KS = np.asarray(targets_KS, np.float64) - targets_KS.mean(0)
    inverse_DD = rows_KD.T @ rows_KD + ridge * np.eye(rows_KD.shape[1])
    return np.linalg.solve(inverse_DD, rows_KD.T @ targets_KS).astype(np.float32)


def ood_distance_of(clips: Sequence[FloatArray]) -> OodDistance:
    """What ordinary clips look like, second by second; `typical` is that of clips that it was not fitted on."""
    if len(clips) < 10:
        raise InputError(f"{len(clips)} clips are too few to say what is familiar; give ten at least")
    rng = np.random.default_rng(0)
    whole, left_out = OodDistance.fit(np.concatenate(clips), rng), []
    for index, clip_TD in enumerate(clips):
        others = OodDistance.fit(np.concatenate([*clips[:index], *clips[index + 1 :]]), rng)
        left_out.append(others.distance(clip_TD) * others.typical)
    return replace(whole, typical=float(np.quantile(left_out, 0.99)))
