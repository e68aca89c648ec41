"""Pictures -> sentences: C(v) of the method, by image-text models that transformers loads: `blip`, `git`, or
`caption:<model>`, of the same two kinds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from cezsar.encoders import compute, weight_files
from cezsar.encoders.catalogue import card
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

EVERY_S = 3.0  # seconds of film that one caption stands for
KINDS = ("BlipForConditionalGeneration", "GitForCausalLM")  # transformers' classes
SAID: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 30, "do_sample": False}  # the likeliest of three sentences


class Captioner(compute.ImageModel):
    """A model that says what a picture shows, asked about the picture in the middle of every `every_s` seconds."""

    def __init__(self, name: str, model: Any, processor: Any, every_s: float = EVERY_S, **computed: Any) -> None:
        if not (math.isfinite(every_s) and every_s > 0):
            raise InputError(f"a caption every {every_s:g} s is not possible; give seconds above 0")
        super().__init__(name, model, **computed)
        self._processor, self.every_s = processor, every_s
        self.sampling = Sampling(fps=2 / every_s)

    def _description(self) -> dict[str, Any]:
        frames, vocabulary = compute.frame_settings(self._processor.image_processor), self._processor.tokenizer
        return {"kind": "captions", "said": SAID, "frames": frames, "vocabulary": vocabulary.get_vocab()}

    def captions(self, frames: Iterable[Frame]) -> list[str]:
        """Frames of a film as `sampling` has them -> a sentence for each `every_s` seconds, "" where the model has no
        words; of what is left at the end the middle, or the first picture, is seen."""
        from PIL import Image

        told: list[str] = []
        with compute.inference(self.device, self.precision):
            for batch in compute.batches(_middles(frames), self.batch):
                pictures = [Image.fromarray(frame.image) for frame in batch]
                seen = self._processor(images=pictures, return_tensors="pt").to(self.device)
                tokens = self.model.generate(**seen, **SAID)
                told += self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [_sentence(text) for text in told]

    def entries(self, captions: Iterable[str], end_s: float) -> list[dict[str, Any]]:
        """Captions of a film of `end_s` seconds as a caption file has them; of equal ones in a row one, of empty ones
        none."""
        found, start = list[dict[str, Any]](), 0
        for text, same in groupby(captions):
            times_s = start * self.every_s, (start := start + len(list(same))) * self.every_s
            if text:
                found.append({"sentence": text, "timestamp": [round(min(time_s, end_s), 3) for time_s in times_s]})
        return found

    def joined(self, captions: Iterable[str]) -> str:
        """C(v): the captions of `entries` as one text."""
        return " ".join(entry["sentence"] for entry in self.entries(captions, math.inf))


def _middles(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The second of every two."""
    waiting = iter(frames)
    while pair := list(islice(waiting, 2)):
        yield pair[-1]


def _sentence(text: str) -> str:
    """With a full stop, so that captions can be joined."""
    text = " ".join(text.split())
    return text if not text or text[-1] in ".!?" else f"{text}."


def load_captioner(name: str, weights: str | Path | None = None, **settings: Any) -> Captioner:
    """A captioner, from the folder `weights` or where `fetch` has it; `settings` are those of `Captioner`. Raises
    `InputError` for what is none, `MissingWeightsError` without weights, `FormatError` for damaged ones."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    if card(name).kind != "captions":
        raise InputError(f"{name} is no captioner: blip, git, or caption:<model>, a name of the hub or a folder")
    place = weight_files.weights_of(name, weights, saved_by="transformers")
    with weight_files.loading(name, place, "transformers"):
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    kinds = config.architectures or [config.model_type]
    if not {*KINDS} & {*kinds} or getattr(config, "num_image_with_embedding", None):
        raise InputError(f"{name}: {place} holds {', '.join(kinds)}; captions are written by BLIP or GIT for pictures")
    return Captioner(name, *weight_files.load_with_processor(name, place, AutoModelForImageTextToText), **settings)
