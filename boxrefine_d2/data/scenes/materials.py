"""What an object is made of: colours chosen against the ground it lies on, and the pattern of its main material."""

from dataclasses import dataclass

import numpy as np

from .palette import OBJECT_COLOURS, PATTERNS, Colour, distance, mix

_CAMOUFLAGED = 0.12  # share of objects whose colour is drawn near the ground's
# Patterns that leave most of the main colour, so that the phrase is true even if the second is another hue.
_SPARSE_PATTERNS = ("spotted", "netted", "speckled")


@dataclass(frozen=True)
class Material:
    """Colour, and for the main material of an object its pattern with the second colour, repeats per unit, angle."""

    colour: Colour
    second: Colour = (0, 0, 0)
    pattern: str = "plain"
    pitch: float = 1.0
    angle: float = 0.0


def draw_materials(rng: np.random.Generator, ground: Colour) -> tuple[str, dict[str, Material]]:
    """The name of the main colour and the material of each slot, for an object on ground of the given base colour."""
    camouflaged = rng.random() < _CAMOUFLAGED
    main_name = _pick_colour(rng, list(OBJECT_COLOURS), ground, -20 if camouflaged else 13)
    main = _vary(rng, OBJECT_COLOURS[main_name])
    others = [name for name, colour in OBJECT_COLOURS.items() if distance(colour, main) > 45]
    accent = _vary(rng, OBJECT_COLOURS[_pick_colour(rng, others, ground, 40)])
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    second = _second_colour(rng, main, accent if pattern in _SPARSE_PATTERNS else None, ground)
    angle = rng.uniform(0, np.pi)
    leaf = mix((60, 120, 50), (120, 140, 60), rng.uniform(0, 1))
    glass = mix((120, 170, 200), (50, 65, 85), rng.uniform(0, 1))
    return main_name, {
        "main": Material(main, second, pattern, float(rng.uniform(2.2, 4.5)), float(angle)),
        "accent": Material(accent),
        "dark": Material((34, 30, 32)),
        "light": Material((236, 232, 222)),
        "glass": Material(glass),
        "wood": Material(mix((92, 64, 42), (150, 112, 74), rng.uniform(0, 1))),
        "leaf": Material(leaf),
    }


def _pick_colour(rng: np.random.Generator, names: list[str], ground: Colour, unit: float) -> str:
    """One of the names, e times as likely for every `unit` of distance from the ground; nearer ones if it is negative."""
    wish = np.array([min(distance(OBJECT_COLOURS[name], ground), 135.0) for name in names]) / unit
    chance = np.exp(wish - wish.max())
    return names[int(rng.choice(len(names), p=chance / chance.sum()))]


def _second_colour(
    rng: np.random.Generator, main: Colour, accent: Colour | None, ground: Colour
) -> Colour:
    """What a pattern shows beside the main colour: an accent where one is given, else lighter or darker.

    More often it goes away from the ground, so that the object as a whole stands out.
    """
    lighter = mix(main, (250, 248, 240), rng.uniform(0.5, 0.85))
    darker = mix(main, (16, 14, 18), rng.uniform(0.45, 0.75))
    if accent is not None and rng.random() < 0.4:
        return accent
    away, towards = sorted((lighter, darker), key=lambda colour: -distance(colour, ground))
    if distance(away, main) < 45:
        return towards
    return away if distance(towards, main) < 45 or rng.random() < 0.7 else towards


def _vary(rng: np.random.Generator, colour: Colour) -> Colour:
    shade = rng.uniform(0.9, 1.08)
    return tuple(
        float(np.clip(c * shade + d, 8, 247))
        for c, d in zip(colour, rng.normal(0, 6, 3), strict=True)
    )
