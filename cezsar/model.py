"""The CEZSAR model (Estevam et al., ICPR 2026, Eq. 1-6): clips and sentences in one joint space.

Shape letters: B clips, T seconds, D feature, M d_model, S sentence vector, E joint embedding.

Two recipes share the weights' shapes and differ in the order of operations, others are other models:

- `paper`: what the paper's equations say. Attention runs over time, padded seconds are masked everywhere.
- `released`: what the authors' published code computes, needed for their checkpoint. Clips are padded with zero
  seconds that count in the mean; ReLU stands before the linear layers; no positions. Attention there runs over the
  batch, so at inference, one clip at a time, each second sees only itself; layer norms act in training only.
- `kernel`: VE is the direction of the mean over seconds of a linear map of the features, SE that of a kernel PCA of the
  sentence vector. It has a closed form (`cezsar.training.rows`), which serves where no videos are there to train on.
- `cross-modal`: not the paper's, but `CrossModal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cezsar.arrays import FloatArray
from cezsar.config import ModelConfig
from cezsar.errors import InputError


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Sine/cosine positions (Vaswani et al. 2017, section 3.5), shape (length, width), `width` even."""
    time_T1 = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    positions_TM = torch.empty(length, width)
    positions_TM[:, 0::2] = torch.sin(time_T1 * rate)
    positions_TM[:, 1::2] = torch.cos(time_T1 * rate)
    return positions_TM


class VisualEmbedding(nn.Module):
    """VE(v), Eq. 1-5: (B, T, D) frame features -> (B, E)."""

    positions_TM: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.recipe = config.recipe
        if config.recipe == "kernel":
            self.project = nn.Linear(config.feature_dim, config.d_emb)
            return
        self.reduce = nn.Linear(config.feature_dim, config.d_model)
        layer = nn.TransformerEncoderLayer(
            config.d_model, config.heads, config.ffn, config.dropout, batch_first=config.recipe == "paper"
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.project = nn.Linear(config.d_model, config.d_emb)
        positions_TM = sinusoidal_positions(config.max_seconds, config.d_model) if config.recipe == "paper" else None
        self.register_buffer("positions_TM", positions_TM, persistent=False)

    def forward(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        of_recipe = {"paper": self._paper, "released": self._released, "kernel": self._mean}[self.recipe]
        return of_recipe(features_BTD, lengths_B)

    def _mean(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        padded_BT = torch.arange(features_BTD.shape[1], device=lengths_B.device)[None] >= lengths_B[:, None]
        pooled_BD = features_BTD.masked_fill(padded_BT[..., None], 0.0).sum(1) / lengths_B[:, None]
        return nn.functional.normalize(self.project(pooled_BD), dim=-1)

    def _paper(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        length = features_BTD.shape[1]
        padded_BT = torch.arange(length, device=lengths_B.device)[None] >= lengths_B[:, None]
        reduced_BTM = torch.relu(self.reduce(features_BTD))  # Eq. 1
        positioned_BTM = reduced_BTM + self.positions_TM[:length]
        encoded_BTM = self.encoder(positioned_BTM, src_key_padding_mask=padded_BT)  # Eq. 2-4, over time
        encoded_BTM = encoded_BTM.masked_fill(padded_BT[..., None], 0.0)
        pooled_BM = encoded_BTM.sum(1) / lengths_B[:, None]
        return torch.relu(self.project(pooled_BM))  # Eq. 5

    def _released(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        length = features_BTD.shape[1]
        padded_BT = torch.arange(length, device=lengths_B.device)[None] >= lengths_B[:, None]
        features_BTD = features_BTD.masked_fill(padded_BT[..., None], 0.0)  # zeros that count in the mean
        reduced_BTM = self.reduce(torch.relu(features_BTD))
        if self.training:
            encoded_BTM = self.encoder(reduced_BTM)  # not batch_first: attention over the B clips, as released
        else:
            # One clip at a time leaves attention a single element, whatever the batch is here.
            alone_1NM = reduced_BTM.flatten(0, 1)[None]
            encoded_BTM = self.encoder(alone_1NM)[0].view_as(reduced_BTM)
        return self.project(torch.relu(encoded_BTM)).mean(1)


class KernelSentence(nn.Module):
    """SE(s) of the kernel recipe: (..., S) -> (..., E), of length 1.

    It is a kernel PCA over M landmarks (Schölkopf et al., 1998). Of a sentence vector of length 1, u is the direction
    from `center`; with unit landmarks l_m the kernel is exp(b (l_m · u - 1)), Gaussian on the sphere. `landmarks` has
    the weight b l_m and the bias -b, `components` the projection and the centring.
    """

    center: Tensor

    def __init__(self, sentence_dim: int, landmarks: int, d_emb: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(sentence_dim))
        self.landmarks = nn.Linear(sentence_dim, landmarks)
        self.components = nn.Linear(landmarks, d_emb)

    def forward(self, vectors_NS: Tensor) -> Tensor:
        unit_NS = nn.functional.normalize(nn.functional.normalize(vectors_NS, dim=-1) - self.center, dim=-1)
        return nn.functional.normalize(self.components(torch.exp(self.landmarks(unit_NS))), dim=-1)


class CEZSAR(nn.Module):
    """The joint embedding model: a visual branch (Eq. 1-5) and a sentence branch (Eq. 6).

    `feature_mean` and `feature_std`, shape (D,), standardise frame features before Eq. 1. They start as 0 and 1,
    which changes nothing; training sets them from its own videos when asked to, and they travel with the weights.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisualEmbedding(config)
        self.sentence = (
            KernelSentence(config.sentence_dim, config.d_model, config.d_emb)
            if config.recipe == "kernel"
            else nn.Linear(config.sentence_dim, config.d_emb)
        )
        if config.recipe == "released":
            self.norm_visual = nn.LayerNorm(config.d_emb)
            self.norm_sentence = nn.LayerNorm(config.d_emb)
        self.register_buffer("feature_mean", torch.zeros(config.feature_dim))
        self.register_buffer("feature_std", torch.ones(config.feature_dim))

    @property
    def padded_seconds(self) -> int | None:
        """The released recipe always sees 16 seconds, zeros included; the paper's sees the longest of the batch."""
        return 16 if self.config.recipe == "released" else None

    def visual_embedding(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """VE(v) for a batch of clips, Eq. 1-5.

        Args:
            features_BTD: frame features, one row per second, padded at the end to a common T.
            lengths_B: int64, real seconds of each clip, 1 to T.

        Returns:
            (B, E) float; at least 0 under the paper's recipe.

        Raises:
            InputError: T is longer than `max_seconds`, D differs, or a clip has no second.
        """
        _, length, dim = features_BTD.shape
        limit = self.padded_seconds or self.config.max_seconds
        if dim != self.config.feature_dim:
            raise InputError(f"features have {dim} dimensions, the model was made for {self.config.feature_dim}")
        if length > limit:
            raise InputError(f"a clip has {length} seconds, the model takes {limit}; cut it with `stack` first")
        if lengths_B.numel() and int(lengths_B.min()) < 1:
            raise InputError("a clip has no seconds; every clip needs at least one row of features")
        if self.config.recipe == "released" and length < limit:
            features_BTD = nn.functional.pad(features_BTD, (0, 0, 0, limit - length))
        standardised_BTD = (features_BTD - self.feature_mean) / self.feature_std
        embedding_BE: Tensor = self.visual(standardised_BTD, lengths_B)
        if self.config.recipe == "released" and self.training:
            embedding_BE = self.norm_visual(embedding_BE)
        return embedding_BE

    def sentence_embedding(self, vectors_NS: Tensor) -> Tensor:
        """SE(s), Eq. 6: (..., S) sentence vectors -> (..., E). Only the paper's recipe has its ReLU."""
        embedding_NE: Tensor = self.sentence(vectors_NS)
        if self.config.recipe == "paper":
            return torch.relu(embedding_NE)
        normed = self.config.recipe == "released" and self.training
        return self.norm_sentence(embedding_NE) if normed else embedding_NE


MAX_TOKENS = 16  # of a label that the cross-modal model reads; later words are left out


class CrossModal(nn.Module):
    """One Transformer over frame features and label tokens, after Lin et al. (CVPR 2022): "cross-modal".

    Tokens of both kinds go through the same layers into one space, where f_v(v) and f_t(u) are compared by cosine.
    Tokens of a video never attend to those of a label, else training could read the answer; so f_v(v) is the same with
    and without a label. L tokens of a label, C labels.
    """

    feature_mean: Tensor
    feature_std: Tensor
    positions: Tensor
    padded_seconds = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.read_frames = nn.Linear(config.feature_dim, config.d_model)
        self.read_tokens = nn.Linear(config.sentence_dim, config.d_model)
        self.modality = nn.Parameter(0.02 * torch.randn(2, config.d_model))  # what tells a frame from a word
        layer = nn.TransformerEncoderLayer(config.d_model, config.heads, config.ffn, config.dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.project = nn.Linear(config.d_model, config.d_emb)
        longest = max(config.max_seconds, MAX_TOKENS)
        self.register_buffer("positions", sinusoidal_positions(longest, config.d_model), persistent=False)
        self.register_buffer("feature_mean", torch.zeros(config.feature_dim))
        self.register_buffer("feature_std", torch.ones(config.feature_dim))

    def visual_embedding(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, E) f_v, raw: the mean of a video's encoded tokens, projected."""
        inputs_BTM, padded_BT = self._frames(features_BTD, lengths_B)
        return self.project(_mean_of(self.encoder(inputs_BTM, src_key_padding_mask=padded_BT), padded_BT))

    def label_embedding(self, tokens_CLS: Tensor, lengths_C: Tensor) -> Tensor:
        """(C, E) f_t, raw: the same of a label's."""
        inputs_CLM, padded_CL = self._tokens(torch.relu(self.read_tokens(tokens_CLS)), lengths_C, 1)
        return self.project(_mean_of(self.encoder(inputs_CLM, src_key_padding_mask=padded_CL), padded_CL))

    def pairs(
        self, features_BTD: Tensor, lengths_B: Tensor, tokens_BLS: Tensor, words_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f_v (B, E) of videos, and (B, M) mean tokens of the label beside each, which have read its frames."""
        frames_BTM, no_frame_BT = self._frames(features_BTD, lengths_B)
        words_BLM, no_word_BL = self._tokens(torch.relu(self.read_tokens(tokens_BLS)), words_B, 1)
        seconds, length = frames_BTM.shape[1], frames_BTM.shape[1] + words_BLM.shape[1]
        blind = torch.zeros(length, length, dtype=torch.bool, device=frames_BTM.device)
        blind[:seconds, seconds:] = True  # no frame sees a word
        both_BM, padded = torch.cat([frames_BTM, words_BLM], dim=1), torch.cat([no_frame_BT, no_word_BL], dim=1)
        encoded = self.encoder(both_BM, mask=blind, src_key_padding_mask=padded)
        visual_BE = self.project(_mean_of(encoded[:, :seconds], no_frame_BT))
        return visual_BE, _mean_of(encoded[:, seconds:], no_word_BL)

    def _frames(self, features_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        standardised_BTD = (features_BTD - self.feature_mean) / self.feature_std
        return self._tokens(torch.relu(self.read_frames(standardised_BTD)), lengths_B, 0)

    def _tokens(self, read_BTM: Tensor, lengths_B: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Inputs of the Transformer, and where they are padding."""
        length = read_BTM.shape[1]
        padded_BT = torch.arange(length, device=lengths_B.device)[None] >= lengths_B[:, None]
        return read_BTM + self.positions[:length] + self.modality[kind], padded_BT


def _mean_of(encoded_BTM: Tensor, padded_BT: Tensor) -> Tensor:
    kept_BT1 = (~padded_BT)[..., None].to(encoded_BTM.dtype)
    return (encoded_BTM * kept_BT1).sum(1) / kept_BT1.sum(1)


def model_for(config: ModelConfig) -> CEZSAR | CrossModal:
    """A fresh model of the recipe."""
    return CrossModal(config) if config.recipe == "cross-modal" else CEZSAR(config)


@torch.inference_mode()
def clip_embeddings(model: CEZSAR | CrossModal, clips: Sequence[FloatArray], batch: int = 256) -> FloatArray:
    """(N, E) VE(v), or f_v(v), of N clips of (T_i, D) features, by the recipe's part of a long clip."""
    embeddings = np.empty((len(clips), model.config.d_emb), np.float32)
    longest, device = model.padded_seconds or model.config.max_seconds, model.feature_mean.device
    for first in range(0, len(clips), batch):
        rows = range(first, min(first + batch, len(clips)))
        part = [torch.from_numpy(np.asarray(clips[row], np.float32)) for row in rows]
        features_BTD, lengths_B = stack(part, longest, middle=model.config.recipe != "released")
        visual_BE = model.visual_embedding(features_BTD.to(device), lengths_B.to(device))
        embeddings[first : first + batch] = visual_BE.float().cpu().numpy()
    return embeddings


def stack(features: list[Tensor], max_seconds: int, *, middle: bool = True) -> tuple[Tensor, Tensor]:
    """Pad clips of different lengths into one batch.

    A clip longer than `max_seconds` keeps its middle: actions are rarely at the very edges of a clip.

    Args:
        features: one (T_i, D) tensor per clip, T_i at least 1.
        middle: False keeps the beginning instead, as the authors' released code does.

    Returns:
        (B, T, D) features, zero where padded, and (B,) int64 lengths.
    """
    kept = []
    for clip_TD in features:
        first = max(0, (len(clip_TD) - max_seconds) // 2) if middle else 0
        kept.append(clip_TD[first : first + max_seconds])
    lengths_B = torch.tensor([len(clip_TD) for clip_TD in kept])
    return nn.utils.rnn.pad_sequence(kept, batch_first=True), lengths_B
