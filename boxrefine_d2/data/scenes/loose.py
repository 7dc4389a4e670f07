"""Loose pieces of clutter: things that lie about, which are no object of any kind."""

import numpy as np

from .categories import Category
from .outlines import Part, curve, ellipse, limb, polygon


def _stick(rng: np.random.Generator) -> list[Part]:
    bend, fork = rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.4)
    end = (fork + 0.34, bend - 0.5 * rng.choice((-1, 1)), 0.025)
    return [
        Part(limb([(fork, bend * 0.8, 0.07), end]), "wood", 0.4),
        Part(limb([(-0.98, 0.0, 0.12), (0.0, bend, 0.1), (0.98, 0.05, 0.06)]), "wood", 0.8),
        Part(limb([(-0.9, -0.03, 0.02), (-0.1, bend - 0.03, 0.015)]), "dark", 0.0),
    ]


def _leaf(rng: np.random.Generator) -> list[Part]:
    half = rng.uniform(0.3, 0.46)
    upper = [(0.95, 0.0), (0.4, -half), (-0.3, -half * 0.9), (-0.75, 0.0)]
    lower = [(-0.3, half * 0.9), (0.4, half)]
    return [
        Part(limb([(-0.98, 0.06, 0.03), (-0.7, 0.0, 0.03)]), "wood", 0.2),
        Part(curve(upper + lower), "leaf", 0.8),
        Part(limb([(-0.75, 0.0, 0.03), (0.9, 0.0, 0.01)]), "wood", 0.0),
    ]


def _ball(rng: np.random.Generator) -> list[Part]:
    tilt = rng.uniform(-0.6, 0.6)
    return [
        Part(ellipse(0.0, 0.0, 0.9, 0.9), "accent", 1.2),
        Part(ellipse(0.0, 0.0, 0.89, 0.26, tilt), "light", 0.8),
        Part(ellipse(-0.3, -0.42, 0.14, 0.09), "light", 0.0),
    ]


def _block(rng: np.random.Generator) -> list[Part]:
    deep, high = rng.uniform(0.25, 0.45), rng.uniform(0.5, 0.9)
    left, right, top, bottom = -0.9, 0.5, high - 0.9, 0.75
    front = [(left, top), (right, top), (right, bottom), (left, bottom)]
    lid = [(left, top), (left + deep, top - deep), (right + deep, top - deep), (right, top)]
    side = [(right, top), (right + deep, top - deep), (right + deep, bottom - deep)]
    return [
        Part(polygon(front), "accent", 0.3),
        Part(polygon(lid), "light", 0.2),
        Part(polygon(side + [(right, bottom)]), "dark", 0.2),
    ]


LOOSE: dict[str, Category] = {
    "stick": Category(_stick, 180.0),
    "leaf": Category(_leaf, 180.0),
    "ball": Category(_ball, 180.0),
    "block": Category(_block, 15.0),
}
