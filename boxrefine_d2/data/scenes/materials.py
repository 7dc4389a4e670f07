"""Materials of an object: colours drawn for the ground, and the pattern of the main material."""

from dataclasses import dataclass

import numpy as np

from .palette import OBJECT_COLOURS, PATTERNS, Colour, distance, mix

_CAMOUFLAGED = 0.12  # share of objects whose colour is drawn near the ground's
# Patterns that leave most of the main colour visible. The phrase is true of them even if the second
# colour has another hue.
_SPARSE_PATTERNS = ("spotted", "netted", "speckled")


@dataclass(frozen=True)
class Material:
    """Colour and pattern of one slot. Only the main material of an object has a pattern.

    Attributes:
        colour: main colour.
        second: second colour of the pattern.
        pattern: one of `palette.PATTERNS`.
        pitch: repeats per unit of the object's frame.
        angle: rotation of the pattern in radians.
    """

    colour: Colour
    second: Colour = (0, 0, 0)
    pattern: str = "plain"
    pitch: float = 1.0
    angle: float = 0.0


def draw_materials(rng: np.random.Generator, ground: Colour) -> tuple[str, dict[str, Material]]:
    """Draw the name of the main colour and the material of each slot.

    Args: ground: base colour of the ground below the object.
    """
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
    """Draw one of the names.

    A name is e times as likely for each `unit` of colour distance from the ground. A negative unit
    favours near colours.
    """
    wish = np.array([min(distance(OBJECT_COLOURS[name], ground), 135.0) for name in names]) / unit
    chance = np.exp(wish - wish.max())
    return names[int(rng.choice(len(names), p=chance / chance.sum()))]


def _second_colour(
    rng: np.random.Generator, main: Colour, accent: Colour | None, ground: Colour
) -> Colour:
    """Draw the second colour of a pattern: the accent, or a lighter or darker main colour.

    The accent is drawn only if it is given. Of the lighter and the darker colour, the one farther
    from the ground is drawn more often, because it makes the whole object stand out.
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
