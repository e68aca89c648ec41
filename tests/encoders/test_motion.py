"""The motion encoder, against plain loops and against moving shapes whose motion, colour and place are known."""

import math
import pickle
from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest

from cezsar.encoders import create, motion
from cezsar.encoders.base import FrameEncoder
from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.errors import InputError
from cezsar.video import Decoder, Frame

GREEN, RED = (40, 200, 60), (210, 40, 40)
ENCODER = MotionEncoder()


def scenery(seed=0, height=120, width=160):
    coarse = np.random.default_rng(seed).integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def clip(count=16, middle=lambda t: (80 + 20 * math.sin(2 * math.pi * t), 66), colour=RED, backdrop=None, size=12):
    frames = []
    for index in range(count):
        image = (np.full((120, 160, 3), 90, np.uint8) if backdrop is None else backdrop).copy()
        x, y = (round(value) for value in middle(index / 8))
        image[max(y - size, 0) : y + size, max(x - size, 0) : x + size] = colour
        image[max(y - size, 0) : y - size // 2, max(x - size, 0) : x + size] = 255
        frames.append(Frame(index / 8, image))
    return frames


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_gradients_and_their_cells():
    grey = noise(2, 9, 12)
    size, bins = motion.gradients(grey)
    sums = np.zeros((3, 2, 8))
    for f, y, x in product(range(2), range(1, 8), range(12)):  # the first and the last row have no gradient

        def at(dy, dx, f=f, y=y, x=x):
            mirrored = abs(x + dx) if x + dx < 12 else 10  # OpenCV mirrors a picture about its last column
            return int(grey[f, y + dy, mirrored])

        right = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1)
        down = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1)
        strength = min(math.hypot(right, down) / 1020, 1)
        assert size[f, y, x] == pytest.approx(strength, abs=1e-5)
        turn = math.atan2(down, right) / math.pi * 8 % 8
        if strength and abs(turn - round(turn)) > 0.01:  # OpenCV's angles are a little coarse
            assert bins[f, y, x] == int(turn)
        sums[y * 3 // 9, x * 2 // 12, bins[f, y, x]] += size[f, y, x]
    expected = np.sqrt(sums / (sums.sum() / 6 + motion.FLAT * size.size / 6))
    np.testing.assert_allclose(motion.gradient_cells(size, bins, (3, 2)), expected, rtol=1e-5)


def test_pairs():
    bins, weights = noise(2, 7, 8) % 5, np.random.default_rng(2).random((2, 7, 8))
    for right, down in ((2, 0), (0, 3), (2, 2), (-3, 1)):
        expected = np.zeros((5, 5))
        for f, y, x in product(range(2), range(7), range(8)):
            if 0 <= x + right < 8 and y + down < 7:
                there = f, y + down, x + right
                expected[bins[f, y, x], bins[there]] += min(weights[f, y, x], weights[there])
        np.testing.assert_allclose(motion.pair_sums(bins, weights, (right, down), 5), expected)


def test_flow_cells():
    flow = np.random.default_rng(3).normal(size=(2, 6, 6, 2)).astype(np.float32)
    expected = np.zeros((2, 3, 8))
    for f, y, x in product(range(2), range(6), range(6)):
        u, v = flow[f, y, x]
        direction = round(math.atan2(v, u) / (2 * math.pi) * 8) % 8
        expected[y // 3, x // 2, direction] += math.hypot(u, v) / (2 * 3 * 2)  # mean over the cell's pixels
    np.testing.assert_allclose(motion.flow_cells(flow, (2, 3)), np.sqrt(expected), atol=1e-3)


def test_rhythm_counts_swings_whenever_they_begin():
    times = np.arange(8) / 8
    for shift in (0.0, 0.1, 0.35):
        flow = np.zeros((8, 4, 4, 2), np.float32)
        flow[..., 1] = np.sin(2 * np.pi * (2 * times + shift))[:, None, None]  # down and up twice a second
        rhythm = motion.rhythm_cells(flow, (2, 2), 8)
        for cycles in range(4):
            total = sum(math.sin(2 * math.pi * (2 * t + shift)) * np.exp(-2j * math.pi * cycles * t) for t in times)
            np.testing.assert_allclose(rhythm[cycles, :, :, 1], math.sqrt(abs(total) / 8), atol=1e-3)
        assert rhythm[2, 0, 0, 1] > 0.7 and not rhythm[..., 0].any()


def test_colours_and_their_neighbours():
    for rgb, index in (
        ((255, 0, 0), 1), ((120, 0, 0), 0), ((0, 255, 0), 7), ((0, 0, 255), 13), ((255, 255, 0), 3),
        ((0, 0, 0), 20), ((100, 100, 100), 21), ((150, 150, 150), 22), ((255, 255, 255), 23),
    ):  # fmt: skip
        colours = motion.colour_index(np.full((1, 4, 6, 3), rgb, np.uint8))
        assert (colours == index).all()
        expected = np.zeros((2, 2, 24))
        expected[..., index] = math.sqrt(1 / 1.02)
        np.testing.assert_allclose(motion.colour_cells(colours, None, (2, 2)), expected)
    stripes = np.zeros((1, 8, 8), np.uint8)
    stripes[:, :, 1::2] = 23  # columns of dark red (paint 0) and white (paint 12) in turn
    pairs = motion.colour_neighbours(stripes, np.ones((1, 8, 8)), 1)
    index = {pair: k for k, pair in enumerate(zip(*np.triu_indices(13), strict=True))}
    across = down = 7 * 8
    assert pairs[index[0, 12]] ** 2 * 64 * 1.02 == pytest.approx(across / 4)
    assert pairs[index[0, 0]] ** 2 * 64 * 1.02 == pytest.approx(down / 4)
    assert np.count_nonzero(pairs) == 3


def moved(picture, x, y, scale=1.0):
    """The 80 x 60 view of a larger picture by a camera that pans and zooms about its middle."""
    matrix = np.array([[scale, 0, (1 - scale) * 79.5 + x - 40], [0, scale, (1 - scale) * 59.5 + y - 30]])
    return cv2.warpAffine(picture, matrix, (80, 60))


def test_camera_motion_is_found_in_spite_of_somebody_moving():
    before, after = moved(scenery(), 0, 0), moved(scenery(), 2.0, -1.0, 1.02)
    before[20:40, 30:45] = noise(20, 15, 3)
    after[24:44, 24:39] = before[20:40, 30:45]
    camera_F4 = motion.camera_motion(motion.optical_flow(before, after)[None], after)
    np.testing.assert_allclose(camera_F4[0], [2.0, -1.0, 0.8, 0.0], atol=0.25)
    flow = motion.camera_flow(np.array([[2.0, -1.0, 0.8, 0.4]]), 60, 80)
    x, y = (70 - 39.5) / 40, (10 - 29.5) / 40
    np.testing.assert_allclose(flow[0, 10, 70], [2 + 0.8 * x - 0.4 * y, -1 + 0.4 * x + 0.8 * y], rtol=1e-5)


def test_actor_is_parted_from_the_scene_while_the_camera_pans():
    views = np.stack([moved(scenery(), -1.5 * k, 0) for k in range(9)])
    clean = views[5].copy()  # the middle one of those asked for
    for k in range(9):
        views[k, 20:32, 4 + 8 * k : 12 + 8 * k] = RED
    camera_F4 = np.zeros((9, 4))
    camera_F4[1:, 0] = -1.5
    scene, mask = motion.split_actor(views, camera_F4, 1, 9)
    assert scene.shape == (60, 80, 3) and mask.shape == (8, 60, 80)
    assert np.abs(scene[:, 10:70].astype(int) - clean[:, 10:70]).mean() < 3
    for k in range(2, 8):
        assert mask[k - 1, 21:31, 5 + 8 * k : 11 + 8 * k].mean() > 0.9


def test_it_is_an_encoder_that_runs_in_the_decoder(tmp_path):
    assert isinstance(ENCODER, FrameEncoder) and create("motion") == ENCODER
    again = pickle.loads(pickle.dumps(ENCODER))
    assert again == ENCODER and again.fingerprint == ENCODER.fingerprint
    everything = np.concatenate([ENCODER.columns(name) for name in ENCODER.blocks])
    np.testing.assert_array_equal(everything, np.arange(ENCODER.dim))
    for change in ({"fps": 4.0}, {"window": 64}, {"gradient_radii": (2, 4)}, {"flow_grid": (4, 4)}):
        changed = replace(ENCODER, **change)
        assert changed.fingerprint != ENCODER.fingerprint and changed.encode(clip(4)).shape == (1, changed.dim)
    path = tmp_path / "square.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8, (160, 120))
    for frame in clip(16, backdrop=scenery()):
        writer.write(frame.image[..., ::-1])
    writer.release()
    with Decoder() as decoder:
        inside = decoder.run(path, ENCODER.sampling, ENCODER.encode)
        np.testing.assert_array_equal(inside, ENCODER.encode(decoder.frames(path, ENCODER.sampling)))
    assert inside.shape == (2, ENCODER.dim)


def test_one_row_a_second():
    for count, seconds in ((1, 1), (7, 1), (8, 1), (9, 2), (20, 3)):
        assert ENCODER.encode(clip(count)).shape == (seconds, ENCODER.dim)
    with pytest.raises(InputError, match="without frames"):
        ENCODER.encode([])
    frames = clip(8)
    small = [Frame(3 + k / 8, frame.image[::2, ::2]) for k, frame in enumerate(frames)]  # sizes may change
    rows = ENCODER.encode([*frames, *small])
    assert rows.shape == (4, ENCODER.dim) and np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[1:3], rows[:1].repeat(2, 0))  # seconds without frames


def test_pictures_with_nothing_in_them_and_wild_ones():
    for shape, value in product([(1, 1), (1, 90), (120, 160), (400, 100)], (0, 255)):
        rows = ENCODER.encode(Frame(k / 8, np.full((*shape, 3), value, np.uint8)) for k in range(3))
        assert rows.dtype == np.float32 and np.isfinite(rows).all()
        assert not rows[:, ENCODER.columns("flow", "rhythm", "camera", "gradients", "presence")].any()
    rows = ENCODER.encode(Frame(k / 8, image) for k, image in enumerate(noise(9, 90, 120, 3)))
    np.testing.assert_allclose(rows.astype(np.float16), rows, rtol=1e-3, atol=1e-6)  # half precision holds them


def test_one_frame_has_no_flow_and_rows_do_not_depend_on_threads():
    one = ENCODER.encode([Frame(0.0, scenery())])
    assert not one[:, ENCODER.columns("flow", "rhythm", "camera")].any()
    np.testing.assert_allclose(ENCODER.encode(Frame(k / 8, scenery()) for k in range(8)), one, atol=1e-3)
    threads, first = cv2.getNumThreads(), ENCODER.encode(clip(backdrop=scenery()))
    try:
        cv2.setNumThreads(2)
        np.testing.assert_array_equal(ENCODER.encode(clip(backdrop=scenery())), first)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(threads)


def test_left_and_right_are_the_same():
    frames = clip(middle=lambda t: (60 + 30 * t, 60 - 10 * t), backdrop=scenery())
    mirrored = [Frame(frame.time_s, np.ascontiguousarray(frame.image[:, ::-1])) for frame in frames]
    other = clip(middle=lambda t: (60 + 30 * t, 40 + 20 * t), backdrop=scenery())
    columns = ENCODER.columns("flow", "rhythm", "gradients", "presence", *APPEARANCE)
    rows = [ENCODER.encode(each)[:, columns] for each in (frames, mirrored, other)]
    assert np.abs(rows[1] - rows[0]).mean() < 0.5 * np.abs(rows[2] - rows[0]).mean()


def test_a_row_shows_the_shot_that_most_of_its_second_shows():
    first, second = clip(8, backdrop=scenery(0)), clip(8, backdrop=255 - scenery(9) // 2)
    of_first, of_second, mixed = (
        ENCODER.encode(each)[0, ENCODER.columns("scene colours")] for each in (first, second, [*first[:3], *second[3:]])
    )
    assert np.abs(mixed - of_second).mean() < 0.02 and np.abs(mixed - of_first).mean() > 0.05
