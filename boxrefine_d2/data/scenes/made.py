"""Man-made objects, built from parts in back-to-front order.

Their frame is about [-1, 1] x [-1, 1], and they stand upright.
"""

import numpy as np

from .outlines import Part, arc_band, curve, ellipse, limb, polygon


def _car(rng: np.random.Generator) -> list[Part]:
    roof, front, back = rng.uniform(-0.62, -0.46), rng.uniform(0.3, 0.46), rng.uniform(-0.72, -0.5)
    wheel = rng.uniform(0.19, 0.25)
    body = [
        (-0.97, 0.22),
        (-0.96, -0.06),
        (back - 0.12, -0.14),
        (front + 0.16, -0.12),
        (0.86, -0.04),
        (0.98, 0.1),
        (0.97, 0.25),
        (0.0, 0.3),
    ]
    cabin = [(back - 0.12, -0.1), (back + 0.1, roof), (front - 0.2, roof), (front + 0.18, -0.1)]
    middle = (back + front) / 2 - 0.05
    rear = [
        (back, -0.14),
        (back + 0.14, roof + 0.08),
        (middle - 0.04, roof + 0.08),
        (middle - 0.04, -0.14),
    ]
    ahead = [
        (middle + 0.04, -0.14),
        (middle + 0.04, roof + 0.08),
        (front - 0.22, roof + 0.08),
        (front + 0.06, -0.14),
    ]
    parts = [
        Part(polygon(cabin), "main", 0.6),
        Part(polygon(rear), "glass", 0.4),
        Part(polygon(ahead), "glass", 0.4),
        Part(curve(body), "main", 0.9),
        Part(limb([(-0.9, 0.16, 0.025), (0.94, 0.17, 0.025)]), "accent", 0.0),
        Part(limb([(middle, -0.1, 0.012), (middle, 0.24, 0.012)]), "dark", 0.0),
        Part(ellipse(0.9, 0.04, 0.07, 0.06), "light", 0.4),
    ]
    for x in (-0.55, 0.57):
        parts += [
            Part(ellipse(x, 0.27, wheel, wheel), "dark", 0.7),
            Part(ellipse(x, 0.27, wheel * 0.5, wheel * 0.5), "light", 0.6),
            Part(ellipse(x, 0.27, wheel * 0.18, wheel * 0.18), "dark", 0.2),
        ]
    return parts


def _cup(rng: np.random.Generator) -> list[Part]:
    top, bottom, tall = rng.uniform(0.5, 0.62), rng.uniform(0.3, 0.48), rng.uniform(0.5, 0.72)
    body = [
        (-top, -tall),
        (top, -tall),
        (top * 0.97, 0.1),
        (bottom, tall),
        (-bottom, tall),
        (-top * 0.97, 0.1),
    ]
    parts = []
    if rng.random() < 0.5:
        parts = [
            Part(ellipse(0.0, tall + 0.04, 0.95, 0.17), "light", 0.5),
            Part(ellipse(0.0, tall + 0.0, 0.62, 0.09), "accent", 0.3),
        ]
    return parts + [
        Part(arc_band(top * 0.86, -0.08, 0.42, 0.38, -1.9, 1.9, 0.13), "accent", 0.7),
        Part(polygon(body[:2] + body[3:5]), "main", 0.8),
        Part(ellipse(0.0, tall, bottom, 0.1), "main", 0.3),
        Part(
            limb([(-top * 0.92, -tall * 0.55, 0.045), (top * 0.92, -tall * 0.55, 0.045)]),
            "accent",
            0.2,
        ),
        Part(ellipse(0.0, -tall, top, 0.15), "light", 0.3),
        Part(ellipse(0.0, -tall + 0.02, top * 0.86, 0.105), "dark", 0.4),
    ]


def _chair(rng: np.random.Generator) -> list[Part]:
    seat, deep, back = rng.uniform(0.02, 0.16), rng.uniform(0.26, 0.4), rng.uniform(-0.98, -0.8)
    left, right = -0.5, 0.28  # the front edge; the seat reaches deep to the right and up
    rise = deep * 0.45
    parts = [
        Part(limb([(left + deep, seat - rise, 0.05), (left + deep, 0.72, 0.04)]), "wood", 0.3),
        Part(
            limb([(right + deep, seat - rise, 0.05), (right + deep + 0.02, 0.72, 0.04)]),
            "wood",
            0.3,
        ),
        Part(limb([(left + deep, seat, 0.055), (left + deep - 0.02, back, 0.05)]), "wood", 0.4),
        Part(limb([(right + deep, seat, 0.055), (right + deep + 0.02, back, 0.05)]), "wood", 0.4),
    ]
    rest = [
        (left + deep, back + 0.06),
        (right + deep, back + 0.06),
        (right + deep, seat - rise - 0.22),
        (left + deep, seat - rise - 0.22),
    ]
    cushion = [(left, seat), (left + deep, seat - rise), (right + deep, seat - rise), (right, seat)]
    edge = [(left, seat), (right, seat), (right, seat + 0.12), (left, seat + 0.12)]
    flank = [(right, seat), (right + deep, seat - rise), (right + deep, seat - rise + 0.12)]
    return parts + [
        Part(polygon(rest), "main", 0.5),
        Part(limb([(left + 0.05, seat + 0.06, 0.055), (left + 0.02, 0.97, 0.045)]), "wood", 0.4),
        Part(limb([(right - 0.04, seat + 0.06, 0.055), (right, 0.97, 0.045)]), "wood", 0.4),
        Part(polygon(cushion), "main", 0.4),
        Part(polygon(edge), "accent", 0.2),
        Part(polygon(flank + [(right, seat + 0.12)]), "dark", 0.2),
    ]


def _house(rng: np.random.Generator) -> list[Part]:
    wide, eaves, ridge = rng.uniform(0.6, 0.78), rng.uniform(-0.22, 0.0), rng.uniform(-0.95, -0.75)
    over, floor, door = wide + 0.14, 0.85, rng.uniform(-0.25, 0.2)
    chimney = rng.uniform(0.2, 0.42)
    wall = [(-wide, eaves), (wide, eaves), (wide, floor), (-wide, floor)]
    if rng.random() < 0.5:
        roof = [(-over, eaves + 0.06), (0.0, ridge), (over, eaves + 0.06)]
        wall.insert(1, (0.0, ridge + 0.1))
    else:
        roof = [
            (-over, eaves + 0.06),
            (-wide * 0.6, ridge),
            (wide * 0.6, ridge),
            (over, eaves + 0.06),
        ]
    stack = [
        (chimney, ridge - 0.02),
        (chimney + 0.16, ridge - 0.02),
        (chimney + 0.16, eaves),
        (chimney, eaves),
    ]
    parts = [
        Part(polygon(stack), "dark", 0.2),
        Part(polygon(wall), "main", 0.3),
        Part(polygon(roof), "accent", 0.4),
        Part(_box(door, 0.56, 0.13, 0.29), "wood", 0.2),
        Part(ellipse(door + 0.07, 0.58, 0.025, 0.025), "light", 0.2),
    ]
    for x in (-wide + 0.2, wide - 0.2):
        if abs(x - door) > 0.32:
            parts += [
                Part(_box(x, 0.36, 0.15, 0.17), "light", 0.0),
                Part(_box(x, 0.36, 0.12, 0.14), "glass", 0.5),
                Part(_box(x, 0.36, 0.012, 0.15), "light", 0.0),
                Part(_box(x, 0.36, 0.13, 0.014), "light", 0.0),
            ]
    return parts


def _bottle(rng: np.random.Generator) -> list[Part]:
    wide, neck, shoulder = rng.uniform(0.26, 0.4), rng.uniform(0.1, 0.14), rng.uniform(-0.36, -0.1)
    right = [
        (neck, -0.84),
        (neck, shoulder - 0.3),
        (wide * 0.8, shoulder - 0.1),
        (wide, shoulder + 0.1),
        (wide, 0.3),
        (wide, 0.8),
        (wide * 0.8, 0.94),
    ]
    body = right + [(-x, y) for x, y in reversed(right)]
    middle = (shoulder + 0.95) / 2
    label = _box(0.0, middle + 0.06, wide * 0.97, 0.2)
    return [
        Part(curve(body), "main", 1.0),
        Part(_box(0.0, -0.88, neck * 1.3, 0.1), "accent", 0.7),
        Part(label, "light", 0.6),
        Part(_box(0.0, middle + 0.0, wide * 0.8, 0.03), "dark", 0.3),
        Part(ellipse(0.0, middle + 0.14, wide * 0.4, 0.07), "accent", 0.4),
        Part(ellipse(-wide * 0.62, shoulder + 0.16, 0.035, 0.13, 0.1), "light", 0.0),
    ]


def _boat(rng: np.random.Generator) -> list[Part]:
    top, mast, bow = rng.uniform(-0.98, -0.85), rng.uniform(-0.12, 0.12), rng.uniform(0.85, 0.98)
    hull = [(-0.85, 0.34), (bow, 0.3), (0.62, 0.72), (-0.66, 0.72)]
    big = [(mast + 0.06, top + 0.06), (mast + 0.1, 0.2), (0.84, 0.2), (0.55, -0.3)]
    small = [(mast - 0.06, top + 0.2), (mast - 0.07, 0.2), (-0.68, 0.2)]
    return [
        Part(limb([(mast, 0.4, 0.035), (mast, top, 0.025)]), "wood", 0.3),
        Part(polygon([(mast, top), (mast - 0.28, top + 0.07), (mast, top + 0.14)]), "accent", 0.2),
        Part(polygon(big), "main", 0.7),
        Part(polygon(small), "main", 0.7),
        Part(polygon(hull), "accent", 0.7),
        Part(limb([(-0.84, 0.36, 0.035), (bow - 0.03, 0.32, 0.035)]), "light", 0.2),
        Part(ellipse(-0.3, 0.52, 0.055, 0.055), "dark", 0.3),
        Part(ellipse(0.0, 0.52, 0.055, 0.055), "dark", 0.3),
        Part(ellipse(0.3, 0.52, 0.055, 0.055), "dark", 0.3),
    ]


def _box(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    left, right, top, bottom = x - half_width, x + half_width, y - half_height, y + half_height
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)])


MADE = {
    "car": _car,
    "cup": _cup,
    "chair": _chair,
    "house": _house,
    "bottle": _bottle,
    "boat": _boat,
}
