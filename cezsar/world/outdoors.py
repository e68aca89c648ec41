"""Places under the sky."""

from __future__ import annotations

import numpy as np

from cezsar.world.canvas import HEIGHT, HORIZON, Canvas, pick, shade


def street(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, HORIZON, (150, 190, 226), (220, 230, 236))
    x = -float(rng.uniform(0, 40))
    while x < canvas.width:
        w, h = float(rng.uniform(46, 80)), float(rng.uniform(58, 98))
        wall = pick(rng, ((186, 110, 90), (206, 178, 140), (150, 160, 176), (180, 140, 120), (120, 136, 150)))
        canvas.box(wall, x, HORIZON - h, w, h)
        canvas.box(shade(wall, 0.75), x, HORIZON - h, w, 4)
        canvas.box(shade(wall, 0.85), x + w - 5, HORIZON - h, 5, h)
        glass = pick(rng, ((90, 120, 150), (250, 226, 150), (70, 90, 120)))
        for wy in np.arange(HORIZON - h + 9, HORIZON - 34, 19):
            for wx in np.arange(x + 6, x + w - 12, 15):
                canvas.box((236, 234, 228), wx - 1, wy - 1, 10, 13)
                canvas.box(glass if rng.random() < 0.7 else (250, 226, 150), wx, wy, 8, 11)
        awning = pick(rng, ((200, 60, 60), (40, 120, 90), (50, 90, 160), (220, 150, 40)))
        canvas.box((70, 80, 96), x + 7, HORIZON - 24, w - 16, 22)
        canvas.box((160, 190, 206), x + 9, HORIZON - 20, w - 30, 15)
        canvas.box(awning, x + 4, HORIZON - 29, w - 10, 8)
        for stripe in np.arange(x + 4, x + w - 10, 10):
            canvas.box((244, 240, 232), stripe, HORIZON - 29, 5, 8)
        x += w + 1
    canvas.rows(HORIZON, HORIZON + 14, (176, 174, 170), (190, 188, 184))
    canvas.box((140, 138, 136), 0, HORIZON + 14, canvas.width, 4)
    canvas.rows(HORIZON + 18, HEIGHT, (84, 86, 92), (104, 106, 112))
    for x in canvas.every(64, 0.0):
        canvas.shape((236, 232, 214), [(x, 156), (x + 30, 156), (x + 34, 160), (x + 2, 160)])
    for x in canvas.every(150):
        canvas.box((50, 56, 60), x, HORIZON - 62, 3, 72)
        canvas.box((50, 56, 60), x, HORIZON - 62, 14, 2)
        canvas.disc((255, 240, 180), x + 14, HORIZON - 58, 4, 3)


def park(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, HORIZON, (120, 186, 240), (214, 236, 248))
    canvas.clouds()
    canvas.hills((150, 196, 150), HORIZON - 12, 22, 60)
    for x in canvas.every(30):
        canvas.tree(
            x,
            HORIZON + rng.uniform(-6, 2),
            rng.uniform(32, 46),
            pick(rng, ((86, 150, 80), (104, 164, 84), (74, 136, 84))),
        )
    canvas.rows(HORIZON, HEIGHT, (132, 190, 92), (94, 160, 70))
    canvas.shape((216, 198, 160), [(-8, 118), (canvas.width + 8, 114), (canvas.width + 8, 124), (-8, 130)])
    for x in canvas.every(120):
        size = rng.uniform(80, 105)
        canvas.disc((84, 142, 66), x, HORIZON + 10, size * 0.32, 4)
        canvas.tree(x, HORIZON + 9, size, pick(rng, ((66, 140, 66), (88, 156, 60), (150, 160, 50))))
    for x in canvas.every(170):
        for dy in (0, 5):
            canvas.box((146, 96, 54), x, HORIZON - 5 + dy, 36, 3)
        canvas.box((60, 60, 64), x + 3, HORIZON - 5, 2, 17)
        canvas.box((60, 60, 64), x + 31, HORIZON - 5, 2, 17)
    canvas.tufts((120, 186, 84), 0.7, 5)
    canvas.tufts((78, 142, 60), 0.5, 5)


def beach(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, 70, (96, 186, 240), (206, 236, 246))
    canvas.clouds()
    sun = rng.uniform(30, canvas.width - 30)
    canvas.disc((255, 246, 204), sun, 24, 13)
    canvas.disc((255, 238, 150), sun, 24, 10)
    canvas.rows(70, HORIZON + 4, (30, 122, 180), (84, 196, 206))
    waves = rng.uniform(0, 1, (int(canvas.width * 0.35), 2)) * (canvas.width, HORIZON - 74) + (0, 73)
    canvas.lines(
        (170, 226, 236), np.stack([waves, waves + np.stack([4 + (waves[:, 1] - 70) * 0.4, 0 * waves[:, 0]], 1)], 1)
    )
    for x in canvas.every(150):
        size = rng.uniform(10, 18)
        canvas.shape((250, 250, 246), [(x, 76), (x, 76 - size), (x + size * 0.6, 76)])
        canvas.shape(
            pick(rng, ((220, 70, 60), (250, 180, 60))), [(x - 1, 76), (x - 1, 76 - size * 0.8), (x - size * 0.4, 76)]
        )
        canvas.shape((90, 60, 44), [(x - 7, 77), (x + 10, 77), (x + 6, 81), (x - 4, 81)])
    x = np.arange(-8, canvas.width + 9, 6)
    edge = HORIZON + 3 * np.sin(x / 23 + rng.uniform(0, 6)) + 1.5 * np.sin(x / 9)
    canvas.rows(HORIZON + 4, HEIGHT, (238, 214, 158), (226, 192, 130))
    canvas.band((200, 176, 128), x, edge + 7, HORIZON)
    canvas.band((246, 250, 250), x, edge + 3, HORIZON - 3)
    canvas.band((96, 204, 210), x, edge, HORIZON - 8)
    for px in canvas.every(190):
        lean = rng.uniform(-14, 14)
        canvas.shape((140, 102, 66), [(px - 3, 116), (px + 4, 116), (px + lean + 2, 44), (px + lean - 1, 44)])
        for angle in np.radians([10, 50, 95, 135, 172, 205, -25]):
            tip = (px + lean + 27 * np.cos(angle), 46 - 17 * np.sin(angle) + 7)
            mid = (px + lean + 15 * np.cos(angle), 42 - 15 * np.sin(angle))
            canvas.shape((54, 140, 76), [(px + lean, 44), mid, tip, (mid[0], mid[1] + 5)])
    for px in canvas.every(140):
        colour = pick(rng, ((230, 80, 70), (60, 130, 210), (250, 190, 60)))
        canvas.shape(colour, [(px, 122), (px + 30, 122), (px + 36, 128), (px + 3, 128)])
        canvas.shape((250, 246, 240), [(px + 10, 122), (px + 18, 122), (px + 22, 128), (px + 13, 128)])
    canvas.tufts((206, 172, 112), 0.6, 2)


def snow_field(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, HORIZON, (150, 186, 222), (226, 236, 244))
    for x in canvas.every(92):
        h, w = rng.uniform(40, 66), rng.uniform(56, 86)
        canvas.shape((146, 162, 190), [(x - w, HORIZON), (x, HORIZON - h), (x + w, HORIZON)])
        canvas.shape((122, 138, 170), [(x, HORIZON - h), (x + w, HORIZON), (x + 0.2 * w, HORIZON)])
        canvas.shape(
            (244, 248, 252),
            [
                (x - 0.36 * w, HORIZON - 0.64 * h),
                (x, HORIZON - h),
                (x + 0.36 * w, HORIZON - 0.64 * h),
                (x + 0.12 * w, HORIZON - 0.70 * h),
                (x - 0.04 * w, HORIZON - 0.58 * h),
                (x - 0.18 * w, HORIZON - 0.72 * h),
            ],
        )
    canvas.hills((214, 226, 240), HORIZON - 2, 14, 70)
    canvas.rows(HORIZON, HEIGHT, (228, 236, 246), (246, 249, 253))
    for x in canvas.every(46):
        canvas.pine(x, HORIZON + rng.uniform(-3, 5), rng.uniform(30, 52), (58, 108, 92), snow=True)
    x = np.arange(-8, canvas.width + 9, 8)
    for level, colour in ((120, (206, 220, 238)), (152, (214, 226, 242))):
        top = level + 4 * np.sin(x / 37 + rng.uniform(0, 6))
        canvas.band(colour, x, top, top + 3 + 2 * np.sin(x / 19))
    for px in canvas.every(210):
        canvas.disc((198, 212, 232), px + 3, 121, 15, 4)
        for dy, r in ((112, 11), (97, 8), (85, 6)):
            canvas.disc((206, 218, 234), px + 1.5, dy + 0.5, r)
            canvas.disc((252, 253, 255), px, dy, r)
        canvas.shape((240, 130, 40), [(px, 84), (px, 87), (px + 8, 86)])
        canvas.box((60, 50, 50), px - 5, 77, 10, 3)
        canvas.box((60, 50, 50), px - 3, 71, 7, 7)
        canvas.box((200, 50, 50), px - 6, 90, 12, 3)
    flakes = rng.uniform(0, 1, (canvas.width // 4, 2)) * (canvas.width, HORIZON)
    for fx, fy in flakes:
        canvas.disc((250, 252, 255), fx, fy, 0.9)


def garden(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, HORIZON + 3, (150, 206, 240), (226, 240, 240))
    canvas.clouds()
    for x in canvas.every(240):
        wall = pick(rng, ((244, 226, 190), (226, 170, 140), (200, 214, 220)))
        canvas.box(wall, x, HORIZON - 56, 92, 56)
        canvas.shape(
            (164, 74, 56),
            [(x - 8, HORIZON - 55), (x + 100, HORIZON - 55), (x + 78, HORIZON - 86), (x + 14, HORIZON - 86)],
        )
        canvas.box((110, 74, 52), x + 40, HORIZON - 36, 17, 36)
        for dx in (10, 66):
            canvas.box((250, 250, 244), x + dx, HORIZON - 44, 18, 20)
            canvas.box((130, 180, 210), x + dx + 2, HORIZON - 42, 14, 16)
    for x in canvas.every(36):
        r = rng.uniform(12, 18)
        canvas.disc((70, 134, 70), x, HORIZON - 4, r * 1.3, r)
        canvas.disc((90, 156, 80), x - 3, HORIZON - 8, r * 0.9, r * 0.65)
    fence = pick(rng, ((246, 244, 236), (190, 144, 98), (226, 236, 226)))
    canvas.box(shade(fence, 0.88), 0, HORIZON - 18, canvas.width, 3)
    canvas.box(shade(fence, 0.88), 0, HORIZON - 6, canvas.width, 3)
    for x in range(-4, canvas.width, 10):
        canvas.shape(
            fence,
            [(x, HORIZON + 4), (x + 6, HORIZON + 4), (x + 6, HORIZON - 21), (x + 3, HORIZON - 25), (x, HORIZON - 21)],
        )
    canvas.rows(HORIZON + 3, HEIGHT, (130, 192, 84), (104, 170, 66))
    canvas.shape((124, 86, 56), [(-8, 110), (canvas.width + 8, 110), (canvas.width + 8, 121), (-8, 121)])
    for x in canvas.every(9):
        y = rng.uniform(104, 113)
        canvas.lines((60, 130, 60), np.array([[(x, y), (x, y + 8)]]))
        bloom = pick(rng, ((236, 70, 90), (250, 200, 60), (240, 130, 190), (170, 90, 210), (250, 250, 246)))
        canvas.disc(bloom, x, y, 3.4)
        canvas.disc((250, 226, 110), x, y, 1.2)
    canvas.tufts((140, 204, 90), 0.7, 4, 126)
    canvas.tufts((88, 152, 58), 0.6, 4, 126)


def forest(canvas: Canvas) -> None:
    rng = canvas.rng
    canvas.rows(0, HORIZON + 2, (150, 190, 150), (206, 222, 176))
    for depth, (tone, count) in enumerate((((120, 160, 124), 14), ((84, 126, 90), 22), ((48, 90, 60), 40))):
        for x in canvas.every(count):
            w = 3 + 3.5 * depth + rng.uniform(0, 3)
            trunk = ((132, 140, 112), (110, 100, 78), (84, 62, 46))[depth]
            canvas.shape(
                trunk,
                [
                    (x - w / 2, 0),
                    (x + w / 2, 0),
                    (x + w * 0.75, HORIZON + 4 * depth),
                    (x - w * 0.75, HORIZON + 4 * depth),
                ],
            )
            if depth == 2:
                canvas.shape(
                    shade(trunk, 1.3),
                    [(x - w / 2, 0), (x - w / 5, 0), (x - w / 4, HORIZON + 8), (x - w * 0.7, HORIZON + 8)],
                )
        for x in canvas.every(count * 0.8):
            canvas.disc(tone, x, rng.uniform(-8, 20 - 6 * depth), rng.uniform(14, 24), rng.uniform(9, 15))
    canvas.rows(HORIZON + 2, HEIGHT, (96, 112, 58), (122, 98, 62))
    for x in canvas.every(24):
        y = rng.uniform(HORIZON - 2, HORIZON + 8)
        for angle in np.radians([20, 50, 80, 110, 140, 165]):
            canvas.shape(
                (70, 132, 62), [(x - 1, y + 5), (x + 11 * np.cos(angle), y + 4 - 12 * np.sin(angle)), (x + 1.5, y + 5)]
            )
    for x in canvas.every(170):
        canvas.disc((190, 50, 40), x, 118, 5, 3.4)
        canvas.box((240, 232, 214), x - 1, 119, 3, 6)
    leaves = rng.uniform(0, 1, (canvas.width, 2)) * (canvas.width, HEIGHT - HORIZON - 10) + (0, HORIZON + 10)
    for number, (x, y) in enumerate(leaves):
        canvas.disc(((180, 130, 50), (150, 90, 44), (110, 130, 60))[number % 3], x, y, 2.2, 1.0)
