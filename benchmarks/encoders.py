"""What the catalogue's encoders of pictures and words cost: milliseconds of one core for a second of film; what its
captioners cost: for a caption of twelve tokens.

    python benchmarks/encoders.py [name ...]

Each model is built at its full size with random weights, which cost the same as trained ones, and gets 640 x 360
pictures through its own encoder, preprocessing included: a batch or a window again and again on one core for 20
seconds, in float32 and in bfloat16. The least processor time counts, which other work on the machine hardly changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import open_clip
import torch
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    LlavaOnevisionVideoProcessor,
    VideoMAEImageProcessor,
    VideoPrismClipModel,
    VideoPrismConfig,
    XCLIPConfig,
    XCLIPModel,
)

from cezsar.encoders import CARDS, IMAGE_TEXT, FrameEncoder, captioners, compute
from cezsar.encoders.catalogue import open_clip_record
from cezsar.encoders.image_text import WINDOW_S, OpenClipEncoder, VideoTextEncoder
from cezsar.video import Frame

AT_LEAST_S = 20
WORDS = 12  # tokens of a caption, as of an ordinary one


class Pictures:
    """The half of a processor that frames need."""

    def __init__(self, video_processor: Callable[..., Any]) -> None:
        self.video_processor = video_processor

    def __call__(self, videos: list[np.ndarray], **settings: Any) -> Any:
        return self.video_processor(videos, **settings)


def untrained(name: str, precision: str) -> FrameEncoder:
    kind, _, model = name.partition(":")
    computed = {"precision": precision, "device": "cpu"}
    if kind == "video" and "xclip" in model:
        config = XCLIPConfig(vision_config={"patch_size": 16, "num_frames": 32})
        encoder: Any = VideoTextEncoder(name, XCLIPModel(config), Pictures(VideoMAEImageProcessor()), **computed)
        encoder.dim = 512
        return encoder
    if kind == "video":
        processor = LlavaOnevisionVideoProcessor(size={"height": 288, "width": 288}, do_normalize=False)
        built = VideoPrismClipModel(VideoPrismConfig())
        encoder = VideoTextEncoder(name, built, Pictures(processor), **computed)
        encoder.dim = 768
        return encoder
    architecture = {"clip-ViT-B-32": "ViT-B-32"}.get(model, model)  # the same network
    record = open_clip_record(architecture)
    frames = {key: record[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    built = open_clip.create_model(architecture, force_preprocess_cfg=frames)
    encoder = OpenClipEncoder(name, built, open_clip.SimpleTokenizer(), **computed)
    encoder.dim = open_clip.get_model_config(architecture)["embed_dim"]
    return encoder


class Captioned(Pictures):
    """The half of a processor that a captioner needs, which leaves its tokens as they are."""

    def __call__(self, images: list[Any], **settings: Any) -> Any:
        return self.video_processor(images, **settings)

    def batch_decode(self, tokens: Any, **settings: Any) -> list[str]:
        return ["a caption"] * len(tokens)


def untrained_captioner(name: str, precision: str) -> captioners.Captioner:
    if name == "blip":
        built, processor = BlipForConditionalGeneration(BlipConfig()), BlipImageProcessor()
    else:
        built, processor = GitForCausalLM(GitConfig()), CLIPImageProcessor()
    return captioners.Captioner(name, built, Captioned(processor), precision=precision, device="cpu")


def cost_ms(name: str, precision: str) -> float:
    """For a second of film, or a caption."""
    units = compute.BATCH_ON_CPU
    work: Callable[[list[Frame]], object]
    if CARDS[name].kind == "captions":
        captioners.SAID |= {"min_new_tokens": WORDS, "max_new_tokens": WORDS}
        captioner = untrained_captioner(name, precision)
        fps, work = 2.0, captioner.captions
    else:
        encoder = untrained(name, precision)
        fps, work = encoder.sampling.fps, encoder.encode
        units = WINDOW_S if name.startswith("video:") else units
    pictures = np.random.default_rng(0).integers(0, 256, (int(units * fps), 360, 640, 3), dtype=np.uint8)
    film = [Frame(k / fps, picture) for k, picture in enumerate(pictures)]
    times: list[float] = []
    while len(times) < 3 or sum(times) < AT_LEAST_S:
        started = time.process_time()
        work(film)
        times.append(time.process_time() - started)
    return 1000 * min(times) / units


def main() -> None:
    torch.set_num_threads(1)
    known = [name for name, card in CARDS.items() if name.partition(":")[0] in IMAGE_TEXT or card.kind == "captions"]
    for name in sys.argv[1:] or known:
        print(f"{name}: {cost_ms(name, 'fp32'):.0f} in float32, {cost_ms(name, 'bf16'):.0f} in bfloat16", flush=True)


if __name__ == "__main__":
    main()
