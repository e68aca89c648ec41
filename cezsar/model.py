"""The CEZSAR model (Estevam et al., ICPR 2026, Eq. 1-6): clips and sentences in one joint space. B clips, T seconds, D
feature, M d_model, S sentence vector, E joint embedding. Recipes: `paper`, its equations, padded seconds masked;
`released`, what the authors' code computes: zero seconds count in the mean, ReLU before the linear layers, no
positions, attention over the batch (at inference each second sees only itself), layer norms in training only; `kernel`,
a closed form (`cezsar.training.rows`); `cross-modal`, not the paper's, `CrossModal`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cezsar.arrays import FloatArray
from cezsar.config import ModelConfig
from cezsar.encoders.compute import inference, sent
from cezsar.errors import InputError

MAX_TOKENS = 16  # of a label that the cross-modal model reads; later words are left out


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Sine/cosine positions (Vaswani et al. 2017, section 3.5), shape (length, width), `width` even."""
    time_T1 = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    positions_TM = torch.empty(length, width)
    positions_TM[:, 0::2] = torch.sin(time_T1 * rate)
    positions_TM[:, 1::2] = torch.cos(time_T1 * rate)
    return positions_TM


def _padding(lengths_B: Tensor, length: int) -> Tensor:
    """(B, length) True where a clip, or a label, has ended."""
    return torch.arange(length, device=lengths_B.device)[None] >= lengths_B[:, None]


def _mean(rows_BTM: Tensor, padded_BT: Tensor) -> Tensor:
    """(B, M) mean over what is not padding."""
    return rows_BTM.masked_fill(padded_BT[..., None], 0.0).sum(1) / (~padded_BT).sum(1, keepdim=True)


def _transformer(config: ModelConfig, batch_first: bool = True) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.d_model, config.heads, config.ffn, config.dropout, batch_first=batch_first
    )
    return nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)


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
        self.encoder = _transformer(config, batch_first=config.recipe == "paper")
        self.project = nn.Linear(config.d_model, config.d_emb)
        if config.recipe == "paper":
            positions_TM = sinusoidal_positions(config.max_seconds, config.d_model)
            self.register_buffer("positions_TM", positions_TM, persistent=False)

    def forward(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        padded_BT = _padding(lengths_B, features_BTD.shape[1])
        if self.recipe == "kernel":
            return F.normalize(self.project(_mean(features_BTD, padded_BT)), dim=-1)
        if self.recipe == "paper":
            reduced_BTM = torch.relu(self.reduce(features_BTD))  # Eq. 1
            positioned_BTM = reduced_BTM + self.positions_TM[: features_BTD.shape[1]]
            encoded_BTM = self.encoder(positioned_BTM, src_key_padding_mask=padded_BT)  # Eq. 2-4, over time
            return torch.relu(self.project(_mean(encoded_BTM, padded_BT)))  # Eq. 5
        features_BTD = features_BTD.masked_fill(padded_BT[..., None], 0.0)  # zeros that count in the mean
        reduced_BTM = self.reduce(torch.relu(features_BTD))
        if self.training:
            encoded_BTM = self.encoder(reduced_BTM)  # not batch_first: attention over the B clips, as released
        else:  # one clip at a time leaves attention a single element, whatever the batch is here
            encoded_BTM = self.encoder(reduced_BTM.flatten(0, 1)[None])[0].view_as(reduced_BTM)
        return self.project(torch.relu(encoded_BTM)).mean(1)


class KernelSentence(nn.Module):
    """SE(s) of the kernel recipe: (..., S) -> (..., E), of length 1; a kernel PCA over M landmarks l (Schölkopf 1998),
    of u, the direction of a unit sentence vector from `center`, with the kernel exp(b (l_m · u - 1))."""

    center: Tensor

    def __init__(self, sentence_dim: int, landmarks: int, d_emb: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(sentence_dim))
        self.landmarks = nn.Linear(sentence_dim, landmarks)
        self.components = nn.Linear(landmarks, d_emb)

    def forward(self, vectors_NS: Tensor) -> Tensor:
        unit_NS = F.normalize(F.normalize(vectors_NS, dim=-1) - self.center, dim=-1)
        return F.normalize(self.components(torch.exp(self.landmarks(unit_NS))), dim=-1)


class _Standardising(nn.Module):
    """(D,) mean and deviation of frame features: 0 and 1, unless training sets them; they travel with the weights."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("feature_mean", torch.zeros(config.feature_dim))
        self.register_buffer("feature_std", torch.ones(config.feature_dim))

    def standardised(self, features_BTD: Tensor) -> Tensor:
        """Raises `InputError` where D is not the model's."""
        if features_BTD.shape[2] != self.config.feature_dim:
            wanted = self.config.feature_dim
            raise InputError(f"features have {features_BTD.shape[2]} dimensions, the model was made for {wanted}")
        return (features_BTD - self.feature_mean) / self.feature_std


class CEZSAR(_Standardising):
    """The joint embedding model: a visual branch (Eq. 1-5) and a sentence branch (Eq. 6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.visual = VisualEmbedding(config)
        if config.recipe == "kernel":
            self.sentence: nn.Module = KernelSentence(config.sentence_dim, config.d_model, config.d_emb)
        else:
            self.sentence = nn.Linear(config.sentence_dim, config.d_emb)
        if config.recipe == "released":
            self.norm_visual, self.norm_sentence = nn.LayerNorm(config.d_emb), nn.LayerNorm(config.d_emb)

    def visual_embedding(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, E) VE(v), Eq. 1-5, of B clips of 1 to T seconds each, padded at the end."""
        released = self.config.recipe == "released"
        if released:  # always 16 seconds, zeros included
            features_BTD = F.pad(features_BTD, (0, 0, 0, self.config.longest_s - features_BTD.shape[1]))
        embedding_BE: Tensor = self.visual(self.standardised(features_BTD), lengths_B)
        return self.norm_visual(embedding_BE) if released and self.training else embedding_BE

    def sentence_embedding(self, vectors_NS: Tensor) -> Tensor:
        """SE(s), Eq. 6: (..., S) sentence vectors -> (..., E). Only the paper's recipe has its ReLU."""
        embedding_NE: Tensor = self.sentence(vectors_NS)
        if self.config.recipe == "paper":
            return torch.relu(embedding_NE)
        return self.norm_sentence(embedding_NE) if self.config.recipe == "released" and self.training else embedding_NE


class CrossModal(_Standardising):
    """One Transformer over frame features and the L tokens of each of C labels, after Lin et al. (CVPR 2022). Tokens of
    a video never attend to those of a label, so f_v(v) is the same with and without one."""

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.read_frames = nn.Linear(config.feature_dim, config.d_model)
        self.read_tokens = nn.Linear(config.sentence_dim, config.d_model)
        self.modality = nn.Parameter(0.02 * torch.randn(2, config.d_model))  # what tells a frame from a word
        self.encoder = _transformer(config)
        self.project = nn.Linear(config.d_model, config.d_emb)
        longest = max(config.max_seconds, MAX_TOKENS)
        self.register_buffer("positions", sinusoidal_positions(longest, config.d_model), persistent=False)

    def visual_embedding(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, E) f_v, raw: the mean of a video's encoded tokens, projected."""
        return self._embedded(self._frames(features_BTD), lengths_B)

    def label_embedding(self, tokens_CLS: Tensor, lengths_C: Tensor) -> Tensor:
        """(C, E) f_t, raw: the same of a label's."""
        return self._embedded(self._words(tokens_CLS), lengths_C)

    def pairs(
        self, features_BTD: Tensor, lengths_B: Tensor, tokens_BLS: Tensor, words_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f_v (B, E) of videos, and (B, M) mean tokens of the label beside each, which have read its frames."""
        both_BM = torch.cat([self._frames(features_BTD), self._words(tokens_BLS)], dim=1)
        seconds, length = features_BTD.shape[1], both_BM.shape[1]
        no_frame_BT, no_word_BL = _padding(lengths_B, seconds), _padding(words_B, length - seconds)
        blind = torch.zeros(length, length, dtype=torch.bool, device=both_BM.device)
        blind[:seconds, seconds:] = True  # no frame sees a word
        padded = torch.cat([no_frame_BT, no_word_BL], dim=1)
        encoded = self.encoder(both_BM, mask=blind, src_key_padding_mask=padded)
        return self.project(_mean(encoded[:, :seconds], no_frame_BT)), _mean(encoded[:, seconds:], no_word_BL)

    def _embedded(self, inputs_BTM: Tensor, lengths_B: Tensor) -> Tensor:
        padded_BT = _padding(lengths_B, inputs_BTM.shape[1])
        return self.project(_mean(self.encoder(inputs_BTM, src_key_padding_mask=padded_BT), padded_BT))

    def _frames(self, features_BTD: Tensor) -> Tensor:
        read_BTM = torch.relu(self.read_frames(self.standardised(features_BTD)))
        return read_BTM + self.positions[: read_BTM.shape[1]] + self.modality[0]

    def _words(self, tokens_BLS: Tensor) -> Tensor:
        read_BLM = torch.relu(self.read_tokens(tokens_BLS))
        return read_BLM + self.positions[: read_BLM.shape[1]] + self.modality[1]


def model_for(config: ModelConfig) -> CEZSAR | CrossModal:
    """A fresh model of the recipe."""
    return CrossModal(config) if config.recipe == "cross-modal" else CEZSAR(config)


def clip_embeddings(model: CEZSAR | CrossModal, clips: Sequence[FloatArray], batch: int = 64) -> FloatArray:
    """(N, E) VE(v), or f_v(v), of N clips of (T_i, D) features, by the recipe's part of a long clip; in float32, for
    reading features takes longer."""
    embeddings, device = np.empty((len(clips), model.config.d_emb), np.float32), model.feature_mean.device
    for first in range(0, len(clips), batch):
        rows = range(first, min(first + batch, len(clips)))
        part = [_kept(clips[row], model.config.longest_s, model.config.recipe != "released") for row in rows]
        if model.config.recipe == "kernel":  # linear in a clip's mean: only this has to be standardised
            part = [clip_TD.sum(axis=0, keepdims=True) / len(clip_TD) for clip_TD in part]
        features_BTD, lengths_B = stack(part, model.config.longest_s)
        with inference(device, "fp32"):
            visual_BE = model.visual_embedding(*sent(device, features_BTD, lengths_B))
        embeddings[first : first + batch] = visual_BE.cpu().numpy()
    return embeddings


def _kept(clip_TD: FloatArray, longest: int, middle: bool) -> FloatArray:
    """The part of a clip that is read: of a longer one the middle, since actions are rarely at its very edges, or its
    beginning, as the authors' released code does."""
    first = max(0, (len(clip_TD) - longest) // 2) if middle else 0
    return clip_TD[first : first + longest]


def stack(clips: Sequence[FloatArray], longest: int) -> tuple[Tensor, Tensor]:
    """(B, T, D) features of (T_i, D) clips, the middle of longer ones, zero where padded, and (B,) lengths."""
    kept = [torch.from_numpy(np.asarray(_kept(clip_TD, longest, True), np.float32)) for clip_TD in clips]
    return nn.utils.rnn.pad_sequence(kept, batch_first=True), torch.tensor([len(clip_TD) for clip_TD in kept])
