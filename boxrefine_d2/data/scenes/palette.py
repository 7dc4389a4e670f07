"""Colours and their names, and the grounds (textured areas) and settings of a background."""

import math
from dataclasses import dataclass

Colour = tuple[float, ...]  # red, green, blue, 0 to 255

# Colours that a phrase can name, RGB 0 to 255.
OBJECT_COLOURS: dict[str, Colour] = {
    "red": (192, 42, 38),
    "orange": (230, 126, 36),
    "yellow": (238, 205, 66),
    "green": (72, 152, 62),
    "teal": (30, 142, 142),
    "blue": (48, 92, 190),
    "purple": (120, 66, 160),
    "pink": (232, 142, 176),
    "brown": (116, 74, 44),
    "white": (238, 235, 228),
    "grey": (132, 132, 134),
    "black": (34, 32, 38),
}

# Patterns of an object's main material. The phrase contains this word.
PATTERNS = (
    "plain",
    "striped",
    "spotted",
    "checkered",
    "mottled",
    "speckled",
    "streaked",
    "netted",
)


@dataclass(frozen=True)
class Ground:
    """A textured area.

    Attributes:
        colours: base colours to mix.
        contrast: contrast as a share of 255.
        slope: exponent of the 1/f^slope amplitude.
        stretch: length of the grain in rows over that in columns.
        structure: name of a built structure (`textures.structure_field`), or "none".
    """

    colours: tuple[Colour, ...]
    contrast: float
    slope: float
    stretch: float = 1.0
    structure: str = "none"


GROUNDS: dict[str, Ground] = {
    "sky": Ground(((140, 180, 226), (182, 206, 228), (216, 204, 196)), 0.06, 1.9, 2.2),
    "dusk": Ground(((70, 62, 92), (120, 84, 92), (52, 66, 96)), 0.05, 1.9, 2.5),
    "grass": Ground(((86, 116, 48), (112, 132, 58), (66, 100, 46)), 0.10, 1.15),
    "hedge": Ground(((46, 76, 36), (60, 92, 50), (80, 100, 44)), 0.12, 1.05),
    "leaves": Ground(((116, 74, 38), (130, 96, 44), (82, 78, 40)), 0.12, 1.05),
    "soil": Ground(((96, 76, 56), (122, 98, 72), (80, 66, 54)), 0.10, 1.15),
    "sand": Ground(((208, 184, 144), (190, 166, 130), (222, 204, 172)), 0.06, 1.1),
    "snow": Ground(((226, 231, 239), (206, 216, 231)), 0.05, 1.5),
    "rock": Ground(((92, 90, 90), (164, 156, 144), (78, 74, 72)), 0.11, 1.3),
    "asphalt": Ground(((96, 96, 99), (78, 78, 82), (118, 116, 112)), 0.05, 0.8),
    "water": Ground(((62, 112, 142), (84, 132, 142), (44, 84, 112)), 0.08, 1.3, 5.0),
    "deep": Ground(((28, 82, 112), (22, 98, 112), (16, 58, 98)), 0.07, 1.7, 1.5),
    "plaster": Ground(((206, 196, 182), (180, 190, 186), (216, 206, 172)), 0.04, 1.5),
    "brick": Ground(((150, 82, 62), (166, 108, 82), (132, 78, 68)), 0.07, 1.1, 1.0, "bricks"),
    "wood": Ground(((152, 106, 66), (122, 82, 52), (192, 152, 108)), 0.08, 1.1, 9.0, "planks"),
    "cloth": Ground(
        ((150, 62, 70), (62, 82, 130), (192, 182, 162), (82, 112, 92)), 0.05, 1.3, 1.0, "folds"
    ),
    "hills": Ground(((92, 112, 120), (88, 104, 84), (122, 128, 138)), 0.06, 1.5),
}


@dataclass(frozen=True)
class Setting:
    """The surroundings of a scene.

    Attributes:
        weight: relative frequency.
        grounds: names of the two grounds.
        composition: "horizon" (a wavy, nearly level border), "split" (a straight edge) or "single"
            (the second ground shows through the first in blotches).
        clutter: kinds of clutter behind the objects.
        front: kinds of clutter in front of the objects.
    """

    weight: float
    grounds: tuple[str, str]
    composition: str
    clutter: tuple[str, ...]
    front: tuple[str, ...]


SETTINGS: dict[str, Setting] = {
    "meadow": Setting(0.6, ("sky", "grass"), "horizon", ("grass", "pebbles"), ("blades", "branch")),
    "lawn": Setting(1.4, ("grass", "soil"), "single", ("grass", "twigs", "shadows"), ("blades",)),
    "beach": Setting(0.6, ("water", "sand"), "horizon", ("pebbles", "cracks"), ("blades", "rods")),
    "dunes": Setting(1.0, ("sand", "soil"), "single", ("pebbles", "shadows"), ("blades", "branch")),
    "woods": Setting(1.4, ("leaves", "soil"), "single", ("twigs", "leaves"), ("branch", "leaves")),
    "hedge": Setting(1.2, ("hedge", "grass"), "single", ("leaves", "twigs"), ("leaves", "branch")),
    "reef": Setting(1.2, ("deep", "rock"), "single", ("blotches", "shadows"), ("blades", "leaves")),
    "gravel": Setting(0.8, ("rock", "asphalt"), "single", ("pebbles", "cracks"), ("branch",)),
    "street": Setting(0.4, ("brick", "asphalt"), "split", ("cracks", "stripes"), ("rods",)),
    "yard": Setting(0.4, ("plaster", "soil"), "split", ("cracks", "grass"), ("branch", "blades")),
    "table": Setting(
        0.7, ("plaster", "wood"), "split", ("blotches", "shadows"), ("rods", "leaves")
    ),
    "bench": Setting(0.9, ("wood", "soil"), "single", ("leaves", "shadows"), ("branch", "leaves")),
    "drape": Setting(
        1.1, ("cloth", "plaster"), "single", ("stripes", "shadows"), ("rods", "leaves")
    ),
    "snow": Setting(1.0, ("snow", "rock"), "single", ("twigs", "shadows"), ("branch", "blades")),
    "evening": Setting(
        0.7, ("dusk", "soil"), "horizon", ("grass", "pebbles"), ("blades", "branch")
    ),
    "valley": Setting(
        0.5, ("hills", "grass"), "horizon", ("pebbles", "grass"), ("branch", "leaves")
    ),
}


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour between two others. Share 0 gives the first."""
    return tuple(float(a + share * (b - a)) for a, b in zip(first, second, strict=True))


def distance(first: Colour, second: Colour) -> float:
    """Return the approximate visual distance of two colours.

    It is the root mean square difference, with additional weight on the lightness.
    """
    red, green, blue = (a - b for a, b in zip(first, second, strict=True))
    lightness = (red + green + blue) / 3
    return math.sqrt((red**2 + green**2 + blue**2) / 3 + 2 * lightness**2)
