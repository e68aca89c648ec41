"""Places under a roof."""

from __future__ import annotations

import cv2
import numpy as np

from cezsar.world.canvas import GROUND, HEIGHT, HORIZON, Canvas, pick, shade


def stage(canvas: Canvas) -> None:
    rng = canvas.rng
    curtain = pick(rng, ((140, 24, 40), (110, 20, 70), (40, 34, 110), (150, 40, 24)))
    canvas.rows(0, HORIZON, shade(curtain, 0.55), curtain)
    for x in canvas.every(15, 0.2):
        canvas.shape(shade(curtain, 1.18), [(x, 0), (x + 4, 0), (x + 5, HORIZON), (x + 1, HORIZON)])
        canvas.shape(shade(curtain, 0.66), [(x + 8, 0), (x + 12, 0), (x + 12, HORIZON), (x + 8, HORIZON)])
    canvas.box((214, 170, 70), 0, HORIZON - 7, canvas.width, 2)
    for x in canvas.every(34, 0.0):
        canvas.disc(shade(curtain, 0.8), x, 2, 19, 14)
        canvas.disc((214, 170, 70), x, 15, 2, 2)
    canvas.rows(HORIZON, HEIGHT, (112, 72, 44), (168, 112, 66))
    canvas.boards((96, 60, 36), 26)
    unlit = canvas.pixels.copy()
    for x in canvas.every(110):
        foot = x + rng.uniform(-50, 50)
        glow = pick(rng, ((255, 240, 190), (200, 220, 255), (255, 200, 220)))
        canvas.shape(glow, [(x - 3, 0), (x + 3, 0), (foot + 34, GROUND), (foot - 34, GROUND)])
        canvas.disc((255, 240, 200), foot, GROUND, 36, 9)
    cv2.addWeighted(canvas.pixels, 0.24, unlit, 0.76, 0, canvas.pixels)
    for x in canvas.every(150, 0.2):
        canvas.box((34, 34, 40), x, HORIZON - 26, 24, 32)
        canvas.disc((70, 70, 80), x + 12, HORIZON - 6, 8)
        canvas.disc((70, 70, 80), x + 12, HORIZON - 19, 4)


def kitchen(canvas: Canvas) -> None:
    rng = canvas.rng
    wall = pick(rng, ((238, 226, 196), (206, 226, 222), (240, 214, 196), (222, 224, 236)))
    door = pick(rng, ((196, 146, 96), (240, 238, 230), (110, 150, 140), (150, 104, 70)))
    canvas.rows(0, HORIZON + 10, wall, shade(wall, 0.8))
    tile = shade(wall, 0.84)
    canvas.lines(tile, np.array([[(x, 48), (x, HORIZON)] for x in range(0, canvas.width, 12)]))
    canvas.lines(tile, np.array([[(0, y), (canvas.width, y)] for y in range(48, HORIZON, 10)]))
    for x in np.arange(-float(rng.uniform(0, 60)), canvas.width, 38):
        if rng.random() < 0.72:
            canvas.box(door, x, 8, 36, 38)
            canvas.box(shade(door, 0.82), x + 3, 11, 30, 32)
            canvas.box(shade(door, 0.95), x + 5, 13, 26, 28)
            canvas.box((90, 84, 78), x + 28, 34, 3, 6)
        else:
            canvas.box((250, 250, 246), x + 2, 10, 32, 36)
            canvas.box((150, 206, 240), x + 4, 12, 13, 32)
            canvas.box((170, 216, 244), x + 19, 12, 13, 32)
    canvas.box((92, 88, 90), 0, 74, canvas.width, 5)
    canvas.box((70, 66, 66), 0, 78, canvas.width, 2)
    for x in np.arange(-float(rng.uniform(0, 60)), canvas.width, 44):
        kind = rng.random()
        if kind < 0.62:
            canvas.box(door, x, 80, 43, 34)
            canvas.box(shade(door, 0.84), x + 3, 83, 37, 28)
            canvas.box((90, 84, 78), x + 18, 86, 8, 2)
        else:
            canvas.box((226, 228, 232), x, 80, 43, 34)
            canvas.box((60, 62, 70), x + 5, 90, 33, 19)
            canvas.box((250, 170, 80), x + 8, 93, 27, 13)
        item = pick(rng, ((200, 70, 60), (80, 140, 90), (240, 190, 70), (100, 130, 190)))
        canvas.box(item, x + 6, 64, 10, 10)
        canvas.disc((236, 236, 232), x + 31, 71, 7, 4)
    for x in canvas.every(260):
        canvas.box((214, 220, 224), x, 30, 44, 88)
        canvas.box((170, 178, 184), x, 62, 44, 2)
        canvas.box((130, 138, 146), x + 38, 40, 3, 16)
        canvas.box((130, 138, 146), x + 38, 70, 3, 22)
    canvas.box((96, 82, 70), 0, HORIZON + 8, canvas.width, 3)
    canvas.rows(HORIZON + 10, HEIGHT, (196, 176, 150), (222, 204, 178))
    middle = canvas.width / 2
    for row, (y0, y1) in enumerate(((114, 122), (122, 134), (134, 152), (152, 178))):
        spread0, spread1 = 1 + (y0 - 114) / 60, 1 + (y1 - 114) / 60
        for k in range(-canvas.width // 50 - 2, canvas.width // 50 + 3):
            if (k + row) % 2 == 0:
                left, right = k * 26, (k + 1) * 26
                canvas.shape(
                    (170, 140, 112),
                    [
                        (middle + left * spread0, y0),
                        (middle + right * spread0, y0),
                        (middle + right * spread1, y1),
                        (middle + left * spread1, y1),
                    ],
                )


def gym(canvas: Canvas) -> None:
    rng = canvas.rng
    wall = pick(rng, ((206, 212, 218), (190, 204, 214), (220, 214, 200)))
    stripe = pick(rng, ((40, 90, 170), (210, 70, 50), (40, 140, 110)))
    canvas.rows(0, HORIZON, shade(wall, 0.9), wall)
    canvas.box(stripe, 0, 70, canvas.width, 7)
    canvas.box(shade(stripe, 1.3), 0, 79, canvas.width, 2)
    for x in canvas.every(66, 0.1):
        canvas.box((236, 244, 250), x, 8, 40, 22)
        canvas.box((168, 206, 232), x + 2, 10, 17, 18)
        canvas.box((178, 214, 238), x + 21, 10, 17, 18)
    for x in canvas.every(170):
        for dx in range(0, 56, 11):
            canvas.box((176, 128, 76), x + dx, 36, 3, HORIZON - 36)
        for y in range(40, HORIZON, 9):
            canvas.box((206, 160, 100), x, y, 47, 3)
    for x in canvas.every(150):
        canvas.box((44, 46, 54), x, HORIZON - 22, 44, 3)
        canvas.box((44, 46, 54), x, HORIZON - 8, 44, 3)
        canvas.box((44, 46, 54), x + 2, HORIZON - 24, 3, 28)
        canvas.box((44, 46, 54), x + 39, HORIZON - 24, 3, 28)
        for dx in range(6, 38, 9):
            weight = pick(rng, ((70, 72, 80), (180, 50, 46), (50, 90, 160)))
            canvas.disc(weight, x + dx, HORIZON - 25, 4)
            canvas.disc(shade(weight, 0.8), x + dx + 2, HORIZON - 11, 4)
    canvas.rows(HORIZON, HEIGHT, (206, 158, 102), (226, 182, 124))
    canvas.boards((190, 140, 88), 20)
    canvas.shape(stripe, [(-8, 121), (canvas.width + 8, 121), (canvas.width + 8, 123), (-8, 123)])
    canvas.shape((240, 240, 236), [(-8, 160), (canvas.width + 8, 160), (canvas.width + 8, 163), (-8, 163)])
    for x in canvas.every(190):
        canvas.shape(shade(stripe, 1.1), [(x, 112), (x + 60, 112), (x + 68, 120), (x - 2, 120)])
        canvas.shape(shade(stripe, 0.75), [(x - 2, 120), (x + 68, 120), (x + 68, 124), (x - 2, 124)])


def workshop(canvas: Canvas) -> None:
    rng = canvas.rng
    wall = pick(rng, ((168, 120, 84), (150, 142, 130), (176, 140, 100)))
    canvas.rows(0, HORIZON + 8, shade(wall, 0.86), wall)
    canvas.lines(shade(wall, 0.76), np.array([[(0, y), (canvas.width, y)] for y in range(9, HORIZON, 13)]))
    for x in canvas.every(180, 0.15):
        canvas.box((214, 188, 142), x, 16, 96, 44)
        canvas.box((150, 116, 78), x, 16, 96, 2)
        for k in range(6):
            tx, ty = x + 9 + 15 * k, 24
            kind = int(rng.integers(4))
            if kind == 0:
                canvas.box((190, 60, 50), tx, ty + 12, 3, 18)
                canvas.box((80, 84, 92), tx - 4, ty + 6, 11, 6)
            elif kind == 1:
                canvas.shape((196, 202, 208), [(tx - 4, ty + 2), (tx + 6, ty + 2), (tx + 3, ty + 22), (tx, ty + 22)])
                canvas.box((220, 150, 50), tx - 3, ty - 2, 8, 6)
            elif kind == 2:
                canvas.disc((90, 96, 104), tx, ty + 6, 5)
                canvas.disc((214, 188, 142), tx, ty + 4, 2.4)
                canvas.box((90, 96, 104), tx - 1, ty + 8, 4, 20)
            else:
                canvas.box((60, 110, 170), tx - 1, ty + 14, 4, 12)
                canvas.box((190, 194, 200), tx, ty, 2, 15)
    canvas.box((134, 88, 50), 0, 78, canvas.width, 6)
    canvas.box((96, 60, 34), 0, 84, canvas.width, 2)
    for x in canvas.every(74, 0.1):
        canvas.box((112, 72, 42), x, 86, 7, 28)
        drawer = pick(rng, ((180, 60, 50), (70, 100, 140), (90, 120, 90)))
        canvas.box(drawer, x + 12, 88, 42, 24)
        for y in (88, 96, 104):
            canvas.box(shade(drawer, 0.75), x + 12, y + 6, 42, 2)
            canvas.box((220, 220, 214), x + 30, y + 2, 7, 2)
        canvas.box((70, 74, 82), x + 20, 68, 16, 10)
        canvas.box((110, 116, 124), x + 16, 66, 24, 4)
    canvas.rows(HORIZON + 8, HEIGHT, (136, 134, 130), (166, 162, 156))
    for x in canvas.every(110):
        for dy in (0, 5, 10):
            canvas.shape(
                ((206, 160, 100), (186, 140, 84), (216, 172, 112))[dy // 5],
                [(x, 112 - dy), (x + 48, 112 - dy), (x + 50, 117 - dy), (x + 2, 117 - dy)],
            )
    canvas.tufts((216, 184, 128), 0.5, 1.5, HORIZON + 14)
