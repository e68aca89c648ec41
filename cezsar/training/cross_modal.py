"""A cross-modal Transformer over frame features and label tokens, after Lin et al. (CVPR 2022).

One Transformer reads videos and labels: tokens of both kinds go through the same layers into one space, where
f_v(v) and f_t(u) are compared by their cosine. It is trained on labelled clips of seen classes, with

- a discriminative loss: softmax over the seen classes of scaled cosines between f_v and a learned vector a class;
- an alignment loss: f_v against f_t, contrastive within a batch, both ways; and label tokens that read the video's tell
  whether label and video match, the other label being the one most easily taken for it.

From the paper's abstract are a Transformer that encodes video and label text jointly, visual embeddings that are
discriminative and semantically consistent, and semantic transfer at inference (`cezsar.zeroshot.transfer`). The losses
as they stand here, the label tokens, the widths and the early stopping are ours, and frame features are frozen where
the paper learns end to end: this is after that paper, and no reproduction of it.

Tokens of a video never attend to those of a label: else training could read the answer. So f_v(v) is the same with and
without a label, and a video is embedded alone. Shape letters as in `cezsar.model`; C classes, L tokens of a label.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cezsar.atomic import replacing, write_json
from cezsar.data.labels import spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import FormatError, InputError
from cezsar.model import sinusoidal_positions, stack

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
FORMAT = 1


@dataclass(frozen=True)
class HeadConfig:
    """Shape and training of the head."""

    feature_dim: int  # D, per second of video
    sentence_dim: int  # S, of a label token
    d_model: int = 256  # M
    d_emb: int = 128  # E
    layers: int = 1
    heads: int = 4
    ffn: int = 512
    dropout: float = 0.1
    max_seconds: int = 15
    max_tokens: int = 16  # of a label; later words are not read
    scale: float = 8.0  # of cosines before a softmax
    discriminative: float = 1.0  # weight of that loss
    alignment: float = 1.0
    matching: float = 0.5  # the part of the alignment loss in which labels read videos
    epochs: int = 30
    patience: int = 6  # epochs without a better accuracy on held-out classes
    held_out: float = 0.15  # share of the seen CLASSES for early stopping
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value >= 0:
                raise InputError(f"{name} is {value}; it cannot be below 0")
        for name in ("feature_dim", "sentence_dim", "d_emb", "layers", "ffn", "max_seconds", "max_tokens", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.heads < 1 or self.batch < 2 or self.d_model % (2 * self.heads):
            raise InputError(
                f"d_model {self.d_model} should be a multiple of twice the heads, and a batch hold two clips"
            )
        if not (0 < self.held_out < 1 and self.dropout < 1):
            raise InputError("held_out and dropout are shares, below 1, and held_out is above 0")


class CrossModalNet(nn.Module):
    """The Transformer. `feature_mean` and `feature_std` standardise frame features and travel with the weights."""

    feature_mean: Tensor
    feature_std: Tensor
    positions: Tensor

    def __init__(self, config: HeadConfig, n_classes: int) -> None:
        super().__init__()
        self.config = config
        self.read_frames = nn.Linear(config.feature_dim, config.d_model)
        self.read_tokens = nn.Linear(config.sentence_dim, config.d_model)
        self.modality = nn.Parameter(0.02 * torch.randn(2, config.d_model))  # what tells a frame from a word
        layer = nn.TransformerEncoderLayer(config.d_model, config.heads, config.ffn, config.dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.project = nn.Linear(config.d_model, config.d_emb)
        self.classes = nn.Parameter(torch.randn(n_classes, config.d_emb))
        self.match = nn.Linear(config.d_model, 1)
        longest = max(config.max_seconds, config.max_tokens)
        self.register_buffer("positions", sinusoidal_positions(longest, config.d_model), persistent=False)
        self.register_buffer("feature_mean", torch.zeros(config.feature_dim))
        self.register_buffer("feature_std", torch.ones(config.feature_dim))

    def videos(self, features_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, E) f_v, raw: the mean of a video's encoded tokens, projected."""
        inputs_BTM, padded_BT = self._frames(features_BTD, lengths_B)
        return self.project(_mean(self.encoder(inputs_BTM, src_key_padding_mask=padded_BT), padded_BT))

    def labels(self, tokens_CLS: Tensor, lengths_C: Tensor) -> Tensor:
        """(C, E) f_t, raw: the same of a label's."""
        inputs_CLM, padded_CL = self._words(tokens_CLS, lengths_C)
        return self.project(_mean(self.encoder(inputs_CLM, src_key_padding_mask=padded_CL), padded_CL))

    def pairs(
        self, features_BTD: Tensor, lengths_B: Tensor, tokens_BLS: Tensor, words_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f_v (B, E) of videos, and (B,) logits that each goes with the label beside it, whose tokens read its own."""
        frames_BTM, no_frame_BT = self._frames(features_BTD, lengths_B)
        words_BLM, no_word_BL = self._words(tokens_BLS, words_B)
        seconds, length = frames_BTM.shape[1], frames_BTM.shape[1] + words_BLM.shape[1]
        blind = torch.zeros(length, length, dtype=torch.bool, device=frames_BTM.device)
        blind[:seconds, seconds:] = True  # no frame sees a word
        both_BM = torch.cat([frames_BTM, words_BLM], dim=1)
        padded = torch.cat([no_frame_BT, no_word_BL], dim=1)
        encoded = self.encoder(both_BM, mask=blind, src_key_padding_mask=padded)
        visual_BE = self.project(_mean(encoded[:, :seconds], no_frame_BT))
        return visual_BE, self.match(_mean(encoded[:, seconds:], no_word_BL))[:, 0]

    def _frames(self, features_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        standardised_BTD = (features_BTD - self.feature_mean) / self.feature_std
        return self._tokens(torch.relu(self.read_frames(standardised_BTD)), lengths_B, 0)

    def _words(self, tokens_CLS: Tensor, lengths_C: Tensor) -> tuple[Tensor, Tensor]:
        return self._tokens(torch.relu(self.read_tokens(tokens_CLS)), lengths_C, 1)

    def _tokens(self, read_BTM: Tensor, lengths_B: Tensor, kind: int) -> tuple[Tensor, Tensor]:
        """Inputs of the Transformer, and where they are padding."""
        length = read_BTM.shape[1]
        padded_BT = torch.arange(length, device=lengths_B.device)[None] >= lengths_B[:, None]
        return read_BTM + self.positions[:length] + self.modality[kind], padded_BT


def _mean(encoded_BTM: Tensor, padded_BT: Tensor) -> Tensor:
    kept_BT1 = (~padded_BT)[..., None].to(encoded_BTM.dtype)
    return (encoded_BTM * kept_BT1).sum(1) / kept_BT1.sum(1)


def label_tokens(encoder: Encoder, names: Sequence[str], sentences: Sequence[str] | None = None) -> list[FloatArray]:
    """(L, S) tokens of each label: the vector of its sentence (its name, unless one is given), then of each word of it.

    A sentence encoder is asked for every word as if it were a sentence: plain, and the same for any encoder.
    """
    words = [spoken(name).split() for name in names]
    first = encoder.encode(list(sentences or [spoken(name) for name in names]))
    each = encoder.encode([word for found in words for word in found])
    ends = np.cumsum([len(found) for found in words])
    parts = np.split(each, ends[:-1]) if len(names) else []
    return [np.vstack([row[None], part]).astype(np.float32) for row, part in zip(first, parts, strict=True)]


# Use and files -------------------------------------------------------------------------------------------------------


class CrossModal:
    """A head as a pair of functions: f_v of clips and f_t of labels, in one space.

    ```
    cross-modal.json         its configuration and the number of classes it was trained on
    cross-modal.safetensors  its weights
    ```
    """

    def __init__(self, model: CrossModalNet) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        return self.model.classes.device

    def stacked(self, rows: Sequence[FloatArray], longest: int) -> tuple[Tensor, Tensor]:
        """Arrays of different length as one padded batch on the device, and their lengths."""
        batch, lengths = stack([torch.from_numpy(np.asarray(row, np.float32)) for row in rows], longest, middle=True)
        return batch.to(self.device), lengths.to(self.device)

    @torch.inference_mode()
    def videos(self, features: Sequence[FloatArray], batch: int = 256) -> FloatArray:
        """(N, E) f_v of (T_i, D) frame features, N from 1; no label is needed. Of a long clip the middle counts."""
        self.model.eval()
        parts = [features[first : first + batch] for first in range(0, len(features), batch)]
        found = [self.model.videos(*self.stacked(part, self.model.config.max_seconds)) for part in parts]
        return np.concatenate(
            [np.empty((0, self.model.config.d_emb), np.float32), *(row.cpu().numpy() for row in found)]
        )

    @torch.inference_mode()
    def labels(self, tokens: Sequence[FloatArray]) -> FloatArray:
        """(C, E) f_t of (L_c, S) label tokens."""
        self.model.eval()
        embedded: FloatArray = self.model.labels(*self.stacked(tokens, self.model.config.max_tokens)).cpu().numpy()
        return embedded

    def save(self, folder: str | Path) -> None:
        """Write both files, each whole or not at all."""
        folder = Path(folder)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        with replacing(folder / "cross-modal.safetensors") as temporary:
            save_file(tensors, temporary)
        config = dataclasses.asdict(self.model.config)
        write_json(folder / "cross-modal.json", {"format": FORMAT, "classes": len(self.model.classes), "head": config})

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> CrossModal:
        """What `save` wrote.

        Raises:
            FormatError: a file is missing, damaged, or of another format.
        """
        folder = Path(folder)
        try:
            about: dict[str, Any] = json.loads((folder / "cross-modal.json").read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise FormatError(f"{folder} holds a cross-modal head of another format; train it again")
            model = CrossModalNet(HeadConfig(**about["head"]), int(about["classes"]))
            model.load_state_dict(load_file(folder / "cross-modal.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, InputError) as error:
            reason = str(error).splitlines()[0]
            raise FormatError(
                f"{folder} holds no cross-modal head that can be used ({reason}); train it again"
            ) from error
        if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
            raise FormatError(f"the cross-modal head in {folder} has weights that are not finite; train it again")
        return cls(model.to(device).eval())
