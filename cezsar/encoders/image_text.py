"""Models of pictures and words, whose frames and sentences have vectors in one space: `clip:<model>` by
sentence-transformers and `open_clip:<model>` see single frames, `video:<model>` (VideoPrism-LvT or X-CLIP, by
transformers) windows of ten seconds. Vectors are the model's own: compare them by cosine similarity."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar import workspace
from cezsar.arrays import unit_rows
from cezsar.encoders import compute, weight_files
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.catalogue import CLIP_DOMAIN, VIDEO_DOMAIN, open_clip_record, weights_file
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

BATCH = 32
DEFAULT_SCALE = 100.0  # the temperature that CLIP models are trained to, for those that do not carry their own
OBJECT_PROMPT = "a photo of a {}."
# What a bare label is put into: two for what somebody does ("juggling"), one for what it is called ("archery").
PROMPTS = ("a video of a person {}.", "a photo of a person {}.", "a video of {}.")
OPEN_CLIP_CONFIG = "open_clip_config.json"
WINDOW_S = 10  # the length of Kinetics' clips, on which video models are trained and measured
FPS = 8  # pictures a second that a window is chosen from: a clip of 2 s still has 16 of them


class ImageTextEncoder(compute.ImageEncoder):
    """It ranks any labels at once. Its objects are ImageNet-1k's names: the model's scale times the cosine similarity
    of frame and "a photo of a ...". A kind of it also has `_texts`, the text tower on at most `BATCH` sentences."""

    _texts: Any

    domain = CLIP_DOMAIN
    trust = "it sees single frames, so trust it for what a photograph can show, less for movement"
    prompts: Sequence[str] = PROMPTS  # what a bare label is put into; their unit vectors are averaged
    sampling = Sampling(fps=1.0)

    @functools.cached_property
    def dim(self) -> int:  # type: ignore[override]  # known once a sentence has been computed
        return len(self.text_vectors(["a photo"])[0])

    def text_vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, D) float32 in the space of the frames. What exceeds the model's length is cut."""
        vectors = [np.zeros((0, self.dim), np.float32)] if not sentences else []
        with compute.inference(self.device, self.precision):
            for first in range(0, len(sentences), BATCH):
                vectors.append(self._texts(list(sentences[first : first + BATCH])).float().cpu().numpy())
        return np.concatenate(vectors)

    @functools.cached_property
    def object_head(self) -> ObjectHead | None:
        """Kept in the workspace's cache: a thousand sentences take a large text tower minutes on a CPU."""
        file = workspace.folder("cache") / "heads" / f"{self.fingerprint}.safetensors"
        if not file.is_file():
            names, definitions = imagenet_vocabulary("imagenet-1k")
            vectors = unit_rows(self.text_vectors([OBJECT_PROMPT.format(name) for name in names]))
            LinearHead(names, definitions, self.scale * vectors, unit_norm=True).save(file)
        return LinearHead.load(file)

    @functools.cached_property
    def scale(self) -> float:
        """What the model multiplies cosine similarities by before a softmax."""
        scales = [tensor for key, tensor in self.model.state_dict().items() if key.rpartition(".")[2] == "logit_scale"]
        return float(scales[0].exp()) if scales else DEFAULT_SCALE


def plain_words(sentence: str, punctuation: str) -> str:
    """Lower case, single spaces, and something in the place of punctuation: how some models are trained on text."""
    return " ".join(sentence.lower().translate(dict.fromkeys(map(ord, string.punctuation), punctuation)).split())


class ClipEncoder(ImageTextEncoder):
    """An image-text SentenceTransformer, a row a second. SigLIP models get their text as they are trained on it (Zhai
    et al. 2023): in lower case, without punctuation, and padded, for they read their answer off the last place."""

    def __init__(self, name: str, model: SentenceTransformer, **computed: Any) -> None:
        if not (model.supports("image") and model.supports("text")):
            takes = ", ".join(map(str, model.modalities))
            raise InputError(f"{name} is no model of images and text: it takes {takes}")
        super().__init__(name, model, **computed)
        tower: Any = model[0]
        config = tower.model.config
        self._siglip = config.model_type in ("siglip", "siglip2")
        if self._siglip:
            length = config.text_config.max_position_embeddings
            tower.processing_kwargs["text"] = {"padding": "max_length", "max_length": length, "truncation": True}

    @functools.cached_property
    def fingerprint(self) -> str:
        frames = compute.frame_settings(self.model.processor.image_processor)
        return weight_files.transformer_fingerprint(self.model, kind="clip", frames=frames)

    def _forward(self, images: list[np.ndarray]) -> Any:
        from PIL import Image

        return self._encode([Image.fromarray(image) for image in images])

    def _texts(self, sentences: list[str]) -> Any:
        return self._encode([plain_words(sentence, "") for sentence in sentences] if self._siglip else sentences)

    def _encode(self, inputs: list) -> Any:
        return self.model.encode(inputs, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True)


def load_clip(name: str, weights: str | Path | None, device: str | None) -> SentenceTransformer:
    """The model from the folder `weights`, or where `fetch` has it."""
    place = weight_files.weights_of(name, weights, saved_by="sentence-transformers")
    return weight_files.load_transformer(name, place, compute.pick_device(device))


class OpenClipEncoder(ImageTextEncoder):
    """An open_clip model, a row a second, with the preprocessing and the tokenizer that open_clip gives it."""

    def __init__(self, name: str, model: Any, tokenizer: Any, **computed: Any) -> None:
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from open_clip.transformer import Transformer

        super().__init__(name, model, **computed)
        for tower in self.model.modules():
            if type(tower) is Transformer and isinstance(tower.resblocks[0].attn, torch.nn.MultiheadAttention):
                for part in (tower, *(block.attn for block in tower.resblocks)):
                    part.batch_first = False  # in bfloat16 a processor needs 20 times as long with the batch first
        self._tokenizer = tokenizer
        self._frames = PreprocessCfg(**model.visual.preprocess_cfg)
        self._transform = image_transform_v2(self._frames, is_train=False)

    def _description(self) -> dict[str, Any]:
        quick = any(type(module).__name__ == "QuickGELU" for module in self.model.modules())  # the weights do not tell
        frames, length = asdict(self._frames), self._tokenizer.context_length
        return {"kind": "open_clip", "frames": frames, "length": length, "quick_gelu": quick}

    def _forward(self, images: list[np.ndarray]) -> Any:
        return self.model.encode_image(self._pictures(images))

    def _texts(self, sentences: list[str]) -> Any:
        return self.model.encode_text(self._tokenizer(sentences).to(self.device))


def load_open_clip(name: str, model: str, weights: str | Path | None = None) -> tuple[torch.nn.Module, Any]:
    """The model with its trained weights, and its tokenizer. Nothing is unpickled but tensors. `model` is one of
    open_clip's names, maybe with a tag (`ViT-B-32:laion2b_s34b_b79k`), a repository of the hub, or a folder in the
    hub's form; such a folder, or a file of tensors for a model that open_clip knows, is at `weights`, or where `fetch`
    has it."""
    import open_clip

    architecture = model.partition(":")[0]
    if "/" not in model and architecture not in open_clip.list_models():
        hint = weight_files.did_you_mean(architecture, open_clip.list_models())
        raise InputError(f"{name}: open_clip has no model {architecture!r}{hint}")
    place = weight_files.weights_of(name, weights)
    source, settings = f"local-dir:{place}", dict[str, Any]()
    if not (place / OPEN_CLIP_CONFIG).is_file():
        if (file := weights_file(place)) is None:
            wanted = f"a folder with {OPEN_CLIP_CONFIG}, or a file of weights"
            raise InputError(f"{name}: {place} has no weights; wanted is {wanted}")
        source, known = architecture, open_clip_record(model)
        frames = {key: known.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
        settings = {"pretrained": str(file), "force_preprocess_cfg": frames}
        settings["force_quick_gelu"] = known.get("quick_gelu", False)
    with weight_files.loading(name, place, "open_clip"):
        loaded = open_clip.create_model(source, require_pretrained=True, **settings)
        tokenizer = open_clip.get_tokenizer(source)
        weight_files.refuse_not_finite(name, place, loaded)
    return loaded, tokenizer


class VideoTextEncoder(ImageTextEncoder):
    """A transformers model of N pictures spread evenly over a clip of some ten seconds, which get one vector: that of
    each second in the window. X-CLIP's sentences are without "video-specific prompting" (Ni et al. 2022, 3.3):
    prototypes that change from clip to clip are no space."""

    domain = VIDEO_DOMAIN
    trust = "it sees ten seconds at once, so trust it for movement, too, but not for the second in which it happens"
    sampling = Sampling(fps=FPS)

    def __init__(self, name: str, model: Any, processor: Any, **computed: Any) -> None:
        super().__init__(name, model, **computed)
        self._kind: str = model.config.model_type
        self._processor = processor
        self.frames = int(model.config.vision_config.num_frames)  # N, the pictures of a window
        self.prompts = ("{}",) if self._kind == "xclip" else PROMPTS  # X-CLIP is trained on bare labels
        self._length = model.config.text_config.max_position_embeddings
        samples = hasattr(processor.video_processor, "do_sample_frames")
        self._as_given = {"do_sample_frames": False} if samples else {}  # the pictures are chosen here

    def _description(self) -> dict[str, Any]:
        frames, vocabulary = (
            compute.frame_settings(self._processor.video_processor),
            self._processor.tokenizer.get_vocab(),
        )
        window = [WINDOW_S, FPS, self.frames]
        return {"kind": self._kind, "window": window, "frames": frames, "vocabulary": vocabulary}

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        waiting, window, rows = iter(frames), list[Any](), list[np.ndarray]()
        while block := [self._pixels(frame.image) for frame in islice(waiting, WINDOW_S * FPS)]:
            window = (window + block)[-WINDOW_S * FPS :]  # what is left at the end is seen with what came before it
            rows += [self._vector(window)] * math.ceil(len(block) / FPS)
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def _pixels(self, image: np.ndarray) -> torch.Tensor:
        (pixels,) = self._processor(videos=[image], return_tensors="pt", **self._as_given).values()
        return pixels.reshape(pixels.shape[-3:])

    def _vector(self, window: Sequence[torch.Tensor]) -> np.ndarray:
        """(D,) of N pictures out of a window, spread as transformers' processors spread them over a clip."""
        import torch

        chosen = [window[place * len(window) // self.frames] for place in range(self.frames)]
        with compute.inference(self.device, self.precision):
            found = self.model.get_video_features(compute.sent(self.device, torch.stack(chosen)[None])[0])
        return np.asarray(found.pooler_output.flatten().float().cpu())

    def _texts(self, sentences: list[str]) -> Any:
        if self._kind == "videoprism":  # is trained on plain words that end in a full stop
            sentences = [plain_words(sentence, " ") + "." for sentence in sentences]
        settings: Any = {"padding": "max_length", "max_length": self._length, "truncation": True}
        tokens = self._processor(text=sentences, return_tensors="pt", **settings)
        return self.model.get_text_features(**tokens.to(self.device)).pooler_output


def load_video_text(name: str, weights: str | Path | None = None) -> tuple[torch.nn.Module, Any]:
    """The model and its processor, from the folder `weights`, or where `fetch` has it."""
    from transformers import AutoModel

    place = weight_files.weights_of(name, weights, saved_by="transformers")
    model, processor = weight_files.load_with_processor(name, place, AutoModel)
    if not (hasattr(model, "get_video_features") and hasattr(model, "get_text_features")):
        raise InputError(f"{name} is no model of videos and text: {place} holds a {type(model).__name__}")
    return model, processor
