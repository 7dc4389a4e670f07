"""Animals and plants, built from parts in back-to-front order.

Their frame is about [-1, 1] x [-1, 1], and they look to the right.
"""

import numpy as np

from .outlines import Part, arc_band, curve, ellipse, limb, polygon


def _bird(rng: np.random.Generator) -> list[Part]:
    plump, neck, tail = rng.uniform(0.34, 0.48), rng.uniform(0.0, 0.16), rng.uniform(0.3, 0.55)
    head_x, head_y = 0.52, -0.42 - neck
    parts = [
        Part(limb([(0.02, 0.25, 0.045), (0.0, 0.72, 0.035)]), "accent", 0.3),
        Part(limb([(0.2, 0.25, 0.045), (0.22, 0.72, 0.035)]), "accent", 0.3),
        Part(limb([(-0.1, 0.75, 0.03), (0.14, 0.72, 0.03)]), "accent", 0.0),
        Part(limb([(0.12, 0.75, 0.03), (0.36, 0.72, 0.03)]), "accent", 0.0),
        Part(
            polygon([(-0.4, -0.06), (-0.55 - tail, -0.16), (-0.5 - tail, 0.16), (-0.38, 0.2)]),
            "dark",
            0.4,
        ),
        Part(
            curve(
                [
                    (-0.62, 0.06),
                    (-0.3, -0.22),
                    (0.15, -0.3),
                    (head_x - 0.14, head_y + 0.05),
                    (head_x + 0.16, head_y + 0.12),
                    (0.55, 0.0),
                    (0.32, plump - 0.06),
                    (-0.1, plump),
                    (-0.45, 0.28),
                ]
            ),
            "main",
            1.0,
        ),
        Part(
            polygon([(0.66, head_y - 0.08), (1.0, head_y + 0.05), (0.68, head_y + 0.1)]),
            "accent",
            0.4,
        ),
        Part(ellipse(head_x, head_y, 0.23, 0.21), "main", 0.9),
        Part(
            curve([(0.28, -0.14), (0.24, 0.14), (-0.1, 0.26), (-0.72, 0.16), (-0.3, -0.08)]),
            "accent",
            0.8,
        ),
    ]
    eye = (head_x + 0.07, head_y - 0.04)
    return parts + [
        Part(ellipse(*eye, 0.07, 0.07), "light", 0.3),
        Part(ellipse(*eye, 0.04, 0.04), "dark", 0),
    ]


def _fish(rng: np.random.Generator) -> list[Part]:
    depth, fin = rng.uniform(0.32, 0.5), rng.uniform(0.2, 0.36)
    tail = [(-0.5, 0.0), (-0.98, -0.42), (-0.84, 0.0), (-0.98, 0.42)]
    body = [
        (0.92, 0.03),
        (0.6, -depth * 0.8),
        (0.1, -depth),
        (-0.4, -depth * 0.45),
        (-0.66, 0.0),
        (-0.4, depth * 0.45),
        (0.1, depth),
        (0.6, depth * 0.75),
    ]
    back = [
        (0.36, -depth * 0.85),
        (0.05, -depth - fin),
        (-0.42, -depth - fin * 0.5),
        (-0.3, -depth * 0.5),
    ]
    belly = [(0.2, depth * 0.9), (-0.05, depth + fin * 0.8), (-0.3, depth * 0.62)]
    side = [(0.26, 0.06), (-0.02, 0.0), (-0.16, 0.2), (0.08, 0.24)]
    return [
        Part(curve(tail), "accent", 0.5),
        Part(polygon(back), "accent", 0.4),
        Part(polygon(belly), "accent", 0.4),
        Part(curve(body), "main", 1.0),
        Part(arc_band(0.36, 0.0, 0.16, depth * 0.72, -1.2, 1.2, 0.04), "dark", 0.0),
        Part(curve(side), "accent", 0.6),
        Part(limb([(0.9, 0.1, 0.02), (0.74, 0.13, 0.015)]), "dark", 0.0),
        Part(ellipse(0.66, -0.1, 0.09, 0.09), "light", 0.3),
        Part(ellipse(0.68, -0.1, 0.05, 0.05), "dark", 0.2),
    ]


def _tree(rng: np.random.Generator) -> list[Part]:
    width = rng.uniform(0.08, 0.13)
    parts = [
        Part(
            limb([(0.0, 0.98, width * 1.7), (0.0, 0.7, width), (0.02, 0.0, width * 0.7)]),
            "wood",
            0.8,
        ),
        Part(limb([(0.0, 0.35, width * 0.6), (0.3, 0.0, 0.03)]), "wood", 0.5),
    ]
    if rng.random() < 0.35:  # a conifer
        for level, half in ((0.5, 0.62), (0.12, 0.5), (-0.26, 0.36)):
            tier = [(-half, level), (0.0, level - 0.72), (half, level), (half * 0.3, level + 0.07)]
            parts.append(Part(polygon(tier + [(-half * 0.3, level + 0.07)]), "main", 0.8))
        return parts
    for x, y, r in ((-0.38, -0.08, 0.38), (0.4, -0.12, 0.38), (0.0, -0.5, 0.48), (0.02, 0.0, 0.36)):
        angles = np.arange(9) * (2 * np.pi / 9) + rng.uniform(0, 1)
        radii = r * rng.uniform(0.82, 1.12, 9)
        crown = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
        parts.append(Part(curve(crown), "main", 1.0))
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.7, 0.1)
        parts.append(Part(ellipse(x, y, 0.07, 0.07), "accent", 0.9))
    return parts


def _mushroom(rng: np.random.Generator) -> list[Part]:
    cap, stem, lean = rng.uniform(0.72, 0.95), rng.uniform(0.16, 0.26), rng.uniform(-0.1, 0.1)
    high = rng.uniform(0.62, 0.9)
    dome = [
        (-cap, 0.02),
        (-cap * 0.8, -high * 0.6),
        (0.0, -high),
        (cap * 0.8, -high * 0.6),
        (cap, 0.02),
    ]
    foot = [
        (-stem, 0.0),
        (-stem * 0.9 + lean, 0.5),
        (-stem * 1.4 + lean, 0.9),
        (stem * 1.4 + lean, 0.9),
        (stem * 0.9 + lean, 0.5),
        (stem, 0.0),
    ]
    parts = [
        Part(curve(foot), "light", 0.9),
        Part(ellipse(lean / 2, 0.32, stem * 1.35, 0.06), "light", 0.7),
        Part(ellipse(0.0, 0.03, cap * 0.95, 0.13), "dark", 0.2),
        Part(curve(dome + [(cap * 0.5, 0.1), (-cap * 0.5, 0.1)]), "main", 1.0),
    ]
    for x, y in ((-0.45, -0.3), (0.05, -0.52), (0.42, -0.28), (-0.08, -0.14)):
        if rng.random() < 0.75:
            size = rng.uniform(0.07, 0.13)
            parts.append(Part(ellipse(x * cap, y * high * 1.2, size * 1.2, size), "accent", 0.6))
    return parts


def _beetle(rng: np.random.Generator) -> list[Part]:
    wide, long = rng.uniform(0.4, 0.52), rng.uniform(0.6, 0.72)
    parts = []
    for side in (-1, 1):
        for start, knee, end in ((-0.3, -0.52, -0.82), (0.02, 0.04, 0.1), (0.32, 0.5, 0.86)):
            stroke = [
                (start, side * wide * 0.6, 0.05),
                (knee, side * (wide + 0.22), 0.04),
                (end, side * (wide + 0.38), 0.02),
            ]
            parts.append(Part(limb(stroke), "dark", 0.3))
        feeler = [(0.68, side * 0.1, 0.03), (0.9, side * 0.28, 0.025), (1.0, side * 0.42, 0.015)]
        parts.append(Part(limb(feeler), "dark", 0.2))
    abdomen = [
        (0.4, 0.0),
        (0.26, wide * 0.86),
        (-0.2, wide),
        (-long - 0.06, wide * 0.55),
        (-long - 0.22, 0.0),
        (-long - 0.06, -wide * 0.55),
        (-0.2, -wide),
        (0.26, -wide * 0.86),
    ]
    return parts + [
        Part(ellipse(0.72, 0.0, 0.17, 0.19), "dark", 0.7),
        Part(ellipse(0.44, 0.0, 0.22, wide * 0.78), "accent", 0.9),
        Part(curve(abdomen), "main", 1.0),
        Part(limb([(0.36, 0.0, 0.02), (-long - 0.16, 0.0, 0.02)]), "dark", 0.0),
        Part(ellipse(0.8, 0.1, 0.05, 0.05), "light", 0.3),
        Part(ellipse(0.8, -0.1, 0.05, 0.05), "light", 0.3),
    ]


def _flower(rng: np.random.Generator) -> list[Part]:
    petals, long = int(rng.integers(5, 10)), rng.uniform(0.3, 0.4)
    lean, turn = rng.uniform(-0.15, 0.15), rng.uniform(0, 1)
    stem = [(lean, 0.98, 0.05), (lean * 0.2, 0.5, 0.045), (0.0, -0.3, 0.04)]
    left = [(0.0, 0.72), (-0.34, 0.42), (-0.62, 0.42), (-0.36, 0.66)]
    right = [(0.02, 0.86), (0.3, 0.5), (0.58, 0.44), (0.4, 0.72)]
    parts = [
        Part(limb(stem), "leaf", 0.4),
        Part(curve(left), "leaf", 0.7),
        Part(curve(right), "leaf", 0.7),
    ]
    for angle in np.arange(petals) * (2 * np.pi / petals) + turn:
        c, s = np.cos(angle), np.sin(angle)
        petal = ellipse(0.38 * c, -0.4 + 0.38 * s, long * 0.8, 1.15 / petals + 0.06, angle)
        parts.append(Part(petal, "main", 0.8))
    return parts + [
        Part(ellipse(0.0, -0.4, 0.2, 0.2), "accent", 0.9),
        Part(ellipse(0.0, -0.4, 0.1, 0.1), "dark", 0.5),
    ]


LIVING = {
    "bird": _bird,
    "fish": _fish,
    "tree": _tree,
    "mushroom": _mushroom,
    "beetle": _beetle,
    "flower": _flower,
}
