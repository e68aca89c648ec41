"""Clips that do their worst to their decoder, and whole films between them."""

import os
import random
import signal
from functools import partial

import numpy as np
from test_video import LINUX, instead, read_numbers, write_numbered
from test_video_sandbox import ATTEMPTS, REFUSED, RESULT, answer, attempt, say

from cezsar.errors import VideoError
from cezsar.video import Decoder, Limits, Sampling

pytestmark = LINUX
ROUNDS = 300
SOUND = answer(RESULT | {"dtype": "<i8", "shape": [5]}, np.arange(0, 40, 8).tobytes())  # what the film would give


def mutated(draw):
    """An answer with some bytes changed, cut or doubled: for nobody to take."""
    noise = bytearray(SOUND)
    for _ in range(draw.randint(1, 8)):
        noise[draw.randrange(16)] = draw.randrange(256)
    return bytes(noise[: draw.randint(1, len(noise))] * draw.randint(1, 3))


def test_clips_that_take_over_their_decoder_cost_themselves_alone(tmp_path, row, hard_seed):
    draw, film, lost = random.Random(hard_seed), write_numbered(tmp_path / "film.mp4"), []
    with Decoder(Limits(time_s=10)) as decoder:
        for number in range(ROUNDS):
            how = draw.choice(["falls", "leaves", "lies", "goes on", "tries"])
            work = {
                "falls": partial(instead, signal.raise_signal, draw.choice([6, 7, 8, 9, 11, 15])),
                "leaves": partial(instead, os._exit, draw.randrange(42)),
                "lies": partial(say, mutated(draw), False),
                "goes on": partial(say, SOUND, True),
                "tries": partial(attempt, str(tmp_path)),
            }[how]
            try:
                given = decoder.run(film, Sampling(), work)
                lost += [(number, how)] * (how != "tries" or given.tolist() != [REFUSED] * len(ATTEMPTS))
            except VideoError as error:
                lost += [(number, how)] * (how == "tries" or "film.mp4" not in str(error))
            lost += [(number, "after")] * (decoder.run(film, Sampling(), read_numbers).tolist() != [0, 8, 16, 24, 32])
    row("clips that take over their decoder", tried=ROUNDS, lost=len(lost))
    assert not lost
