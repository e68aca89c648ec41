"""`video:<model>`: a video-text model that transformers loads, such as VideoPrism-LvT or X-CLIP.

These models are trained on N pictures spread evenly over a clip of some ten seconds, and give one vector for it. So a
film is seen in windows of ten seconds: each second's row is the vector of the window that it lies in. A clip of at most
ten seconds is one window, whatever it lasts, and its rows are all the same: what the library gives for that clip.

X-CLIP can also bend its sentences towards each clip that they are compared with. Prototypes that change from clip to
clip are no space (distances between classes, or to a neighbour, would not exist): its sentences stay as
`get_text_features` has them, which is the published model without "video-specific prompting" (Ni et al. 2022, 3.3).
"""

from __future__ import annotations

import functools
import math
import string
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar.encoders import compute, weights
from cezsar.encoders.catalogue import VIDEO_DOMAIN, located
from cezsar.encoders.fetching import fetch
from cezsar.encoders.image_text import PROMPTS, ImageTextEncoder, frame_settings
from cezsar.errors import FormatError, InputError
from cezsar.video import Frame, Sampling

if TYPE_CHECKING:
    import torch

WINDOW_S = 10  # the length of Kinetics' clips, on which these models are trained and measured
FPS = 8  # pictures a second that a window is chosen from: a clip of 2 s still has 16 of them


class VideoTextEncoder(ImageTextEncoder):
    """A transformers model with `get_video_features` and `get_text_features` as frame encoder and text encoder.

    Attributes:
        frames: N, the pictures of a window.
    """

    domain = VIDEO_DOMAIN
    trust = "it sees ten seconds at once, so trust it for movement, too, but not for the second in which it happens"
    sampling = Sampling(fps=FPS)

    def __init__(
        self, name: str, model: Any, processor: Any, precision: str = "auto", device: str | None = None
    ) -> None:
        super().__init__(name, model, precision, device)
        self._kind: str = model.config.model_type
        self._processor = processor
        self.frames = int(model.config.vision_config.num_frames)
        self.prompts = ("{}",) if self._kind == "xclip" else PROMPTS  # X-CLIP is trained on bare labels
        self._length = model.config.text_config.max_position_embeddings
        samples = hasattr(processor.video_processor, "do_sample_frames")
        self._as_given = {"do_sample_frames": False} if samples else {}  # the pictures are chosen here

    @functools.cached_property
    def fingerprint(self) -> str:
        return weights.fingerprint(
            {
                "kind": self._kind,
                "window": [WINDOW_S, FPS, self.frames],
                "frames": frame_settings(self._processor.video_processor),
                "vocabulary": self._processor.tokenizer.get_vocab(),
            },
            self.model.state_dict(),
        )

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        rows: list[np.ndarray] = []
        window: deque[torch.Tensor] = deque(maxlen=WINDOW_S * FPS)
        since = 0  # pictures since the last full window
        for frame in frames:
            window.append(self._picture(compute.checked(frame)))
            since += 1
            if since == WINDOW_S * FPS:
                rows += [self._vector(window)] * WINDOW_S
                since = 0
        if since:  # what is left is seen with what came before it, as the last ten seconds of the clip
            rows += [self._vector(window)] * math.ceil(since / FPS)
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def _picture(self, image: np.ndarray) -> torch.Tensor:
        """One picture as the model's processor makes it: (3, H, W)."""
        (pixels,) = self._processor(videos=[image], return_tensors="pt", **self._as_given).values()
        return pixels.reshape(pixels.shape[-3:])

    def _vector(self, window: Sequence[torch.Tensor]) -> np.ndarray:
        """(D,) of N pictures out of a window, spread as transformers' processors spread them over a clip."""
        import torch

        chosen = [window[place * len(window) // self.frames] for place in range(self.frames)]
        with compute.inference(self.device, self.precision):
            found = self.model.get_video_features(torch.stack(chosen)[None].to(self.device))
        vector: np.ndarray = found.pooler_output.flatten().float().cpu().numpy()
        return vector

    def _texts(self, sentences: list[str]) -> torch.Tensor:
        if self._kind == "videoprism":
            sentences = [videoprism_words(sentence) for sentence in sentences]
        tokens = self._processor(
            text=sentences, padding="max_length", max_length=self._length, truncation=True, return_tensors="pt"
        )
        vectors: torch.Tensor = self.model.get_text_features(**tokens.to(self.device)).pooler_output
        return vectors


def videoprism_words(sentence: str) -> str:
    """Lower case, single spaces for punctuation, a full stop at the end: the text that VideoPrism is trained on."""
    spaces = str.maketrans(string.punctuation, " " * len(string.punctuation))
    return " ".join(sentence.lower().translate(spaces).split()) + "."


def load_video_text(name: str, weights_path: str | Path | None = None) -> tuple[torch.nn.Module, Any]:
    """The model with its trained weights, and its processor.

    From the folder `weights_path`, `$CEZSAR_HOME/models`, the hub's cache, or fetched. Code that comes with a model is
    never run.

    Raises:
        InputError: `weights_path` is no folder, or it holds another kind of model.
        FormatError: what is there cannot be loaded.
        MissingWeightsError: the weights are not here and cannot be fetched.
    """
    import torch
    from transformers import AutoModel, AutoProcessor

    place = Path(weights_path) if weights_path is not None else located(name) or fetch(name)
    if not place.is_dir():
        raise InputError(f"{name}: weights must be a folder that transformers saved, and {place} is none")
    try:
        with weights.loading_here():
            model, found = AutoModel.from_pretrained(place, dtype=torch.float32, output_loading_info=True)
            processor = AutoProcessor.from_pretrained(place)
    except Exception as error:  # a damaged or foreign folder makes three libraries raise errors of many kinds
        raise FormatError(f"{name}: {place} cannot be loaded by transformers: {weights.first_line(error)}") from error
    if not (hasattr(model, "get_video_features") and hasattr(model, "get_text_features")):
        raise InputError(f"{name} is no model of videos and text: {place} holds a {type(model).__name__}")
    if found["missing_keys"]:
        lacking = ", ".join(sorted(found["missing_keys"])[:3])
        raise FormatError(f"{name}: the weights in {place} lack {lacking}; fetch them again")
    weights.refuse_not_finite(name, place, model)
    return model, processor
