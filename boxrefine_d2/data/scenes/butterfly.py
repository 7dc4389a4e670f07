"""The butterfly of `fine:` and the eyespots on its wings.

The frame is about [-1, 1] x [-1, 1]. The butterfly is seen from above, and its head is on the
right.
"""

from dataclasses import dataclass

import numpy as np

from .outlines import Part, area, curve, ellipse, limb, polygon
from .palette import OBJECT_COLOURS, Colour

EYESPOT_AREA = (0.085, 0.125)  # range of an eyespot's area, as a share of the butterfly
EYESPOT_SLOTS = ("rim", "iris", "pupil")  # material slots, from the outer one to the inner one

_WINGS = ((0.28, 0.485), (-0.34, 0.415))  # centres of the wings with positive y
_ROOM = 0.365  # every wing contains a circle of this radius around its centre


@dataclass(frozen=True)
class Eyespot:
    """The eyespot of one class: colours of iris and pupil, and outlines of the pupil.

    The outlines are in units of the eyespot's radius.
    """

    iris: Colour
    pupil: Colour
    outlines: tuple[np.ndarray, ...]


def butterfly(rng: np.random.Generator) -> list[Part]:
    """Draw a butterfly without eyespots."""
    parts = []
    reach, tail, edge = rng.uniform(0.9, 1.0), rng.uniform(0.72, 0.86), rng.uniform(0.84, 0.9)
    fore = [
        (0.3, 0.02),
        (0.66, 0.34),
        (0.74, reach),
        (0.3, reach * 1.02),
        (-0.1, 0.62),
        (-0.12, 0.06),
    ]
    hind = [(0.02, 0.04), (0.0, 0.66), (-0.36, tail), (-0.82, 0.7), (-0.86, 0.3), (-0.4, 0.03)]
    for side in (-1, 1):
        for wing, middle in ((hind, _WINGS[1]), (fore, _WINGS[0])):
            outline = curve([(x, side * y) for x, y in wing])
            centre = np.array((middle[0], side * middle[1]))
            parts.append(Part(outline, "dark", 0.5))
            parts.append(Part(centre + (outline - centre) * edge, "main", 0.8))
    for x, y in ((0.56, 0.84), (0.3, 0.88), (-0.56, 0.66), (-0.72, 0.5)):
        if rng.random() < 0.5:
            parts += [Part(ellipse(x, side * y, 0.055, 0.055), "accent", 0.6) for side in (-1, 1)]
    for side in (-1, 1):
        feeler = [(0.5, side * 0.03, 0.02), (0.76, side * 0.12, 0.018), (0.98, side * 0.3, 0.03)]
        parts.append(Part(limb(feeler), "dark", 0.2))
    return parts + [
        Part(ellipse(-0.2, 0.0, 0.42, 0.075), "dark", 0.8),
        Part(ellipse(0.26, 0.0, 0.2, 0.1), "accent", 0.9),
        Part(ellipse(0.5, 0.0, 0.1, 0.1), "dark", 0.8),
    ]


def eyespot(rng: np.random.Generator, kind: Eyespot, body: list[Part]) -> list[Part]:
    """Draw an eyespot somewhere on a wing.

    Its place, its size and its outer outline do not depend on its kind.
    """
    share = rng.uniform(*EYESPOT_AREA)
    radius = np.sqrt(share * area([part.outline for part in body]) / np.pi)
    wing_x, wing_y = _WINGS[int(rng.integers(len(_WINGS)))]
    side, turn = (-1 if rng.random() < 0.5 else 1), rng.uniform(0, 2 * np.pi)
    x, y = (wing_x, side * wing_y) + (_ROOM - radius) / np.sqrt(2) * rng.uniform(-1, 1, 2)
    c, s = radius * np.cos(turn), radius * np.sin(turn)
    parts = [
        Part(ellipse(x, y, radius, radius), "rim", 0.4),
        Part(ellipse(x, y, radius * 0.88, radius * 0.88), "iris", 0.4),
    ]
    return parts + [
        Part(outline @ np.array([[c, s], [-s, c]]) + (x, y), "pupil", 0.2)
        for outline in kind.outlines
    ]


def _regular(corners: int, radius: float, inner: float | None = None) -> np.ndarray:
    """Return a regular polygon, or a star if `inner` gives the radius of its inward corners."""
    count = corners if inner is None else 2 * corners
    angles = np.arange(count) * (2 * np.pi / count)
    radii = np.full(count, radius)
    if inner is not None:
        radii[1::2] = inner
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _eyespot(iris: str, pupil: str, *outlines: np.ndarray) -> Eyespot:
    return Eyespot(OBJECT_COLOURS[iris], OBJECT_COLOURS[pupil], outlines)


_BAR = polygon([(-0.7, -0.22), (0.7, -0.22), (0.7, 0.22), (-0.7, 0.22)])
_MOON = [(0.1, -0.66), (0.56, -0.4), (0.72, 0.0), (0.56, 0.4), (0.1, 0.66), (0.3, 0.3), (0.3, -0.3)]

EYESPOTS: dict[str, Eyespot] = {
    "dot": _eyespot("yellow", "black", ellipse(0, 0, 0.45, 0.45)),
    "bar": _eyespot("red", "yellow", _BAR),
    "cross": _eyespot("teal", "white", _BAR, _BAR[:, ::-1]),
    "triangle": _eyespot("green", "yellow", _regular(3, 0.72)),
    "star": _eyespot("blue", "white", _regular(5, 0.78, 0.34)),
    "crescent": _eyespot("purple", "yellow", curve(_MOON)),
    "square": _eyespot("orange", "blue", _regular(4, 0.66)),
    "twin": _eyespot("pink", "black", ellipse(-0.4, 0, 0.3, 0.3), ellipse(0.4, 0, 0.3, 0.3)),
}
