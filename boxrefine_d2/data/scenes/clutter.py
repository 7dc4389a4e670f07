"""Clutter: coloured outlines in an image that are not objects, in pixels, farthest first.

Some makers draw clutter behind the objects (grass, pebbles, cracks), others in front of them
(blades, a branch, rods). Each maker takes (generator, (H, W), tint). A maker of clutter behind the
objects also takes `top`, a share of the height; it places nothing above this line. The makers are
vectorised over their pieces, because a scene has hundreds of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .outlines import limb
from .palette import Colour


class Piece(NamedTuple):
    """An outline (k, 2) in pixels, filled with one colour."""

    outline: np.ndarray
    colour: Colour


Size = tuple[int, int]
FrontMaker = Callable[[np.random.Generator, Size, Colour], list[Piece]]
GroundMaker = Callable[[np.random.Generator, Size, Colour, float], list[Piece]]


def _shades(rng: np.random.Generator, tint: Colour, count: int, spread: float) -> np.ndarray:
    """Draw variants of a colour, (count, 3): lighter, darker and slightly different in hue."""
    light = 1 + spread * rng.uniform(-1, 1, (count, 1))
    return np.clip(np.array(tint) * light + 18 * spread * rng.normal(size=(count, 3)), 4, 250)


def _pieces(outlines: np.ndarray, colours: np.ndarray) -> list[Piece]:
    return [Piece(o, tuple(c)) for o, c in zip(outlines, colours.tolist(), strict=True)]


def _scattered(rng: np.random.Generator, size: Size, count: int, top: float) -> np.ndarray:
    """Draw positions (count, 2) anywhere below the line `top`."""
    height, width = size
    return rng.uniform((0.0, top * height), (width, height), (count, 2))


def _blade_outlines(
    root: np.ndarray, length: np.ndarray, width: np.ndarray, angle: np.ndarray, bend: np.ndarray
) -> np.ndarray:
    """Return tapered bent strokes from their roots, (n, 8, 2).

    Angles are in radians, and angle 0 points up. `bend` is the change of angle along the stroke.
    """
    along = np.array([0.0, 0.35, 0.7, 1.0])
    turn = angle[:, None] + bend[:, None] * along
    spine = root[:, None] + length[:, None, None] * along[:, None] * np.stack(
        [np.sin(turn), -np.cos(turn)], -1
    )
    half = width[:, None] * np.array([1.0, 0.85, 0.5, 0.05])
    across = np.stack([np.cos(turn), np.sin(turn)], -1) * half[..., None]
    return np.concatenate([spine + across, (spine - across)[:, ::-1]], axis=1)


def _oval_outlines(
    centre: np.ndarray, radii: np.ndarray, angle: np.ndarray, pointed: float
) -> np.ndarray:
    """Return ellipses (n, 12, 2). If `pointed` is near 1, they have a tip at both ends."""
    t = np.arange(12) * (2 * np.pi / 12)
    x, y = np.cos(t), np.sin(t) * (1 - pointed * np.cos(t) ** 2)
    local = radii[:, None] * np.stack([x, y], -1)
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned = np.stack(
        [c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]], -1
    )
    outlines: np.ndarray = centre[:, None] + turned
    return outlines


def grass(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw short strokes all over the lower part, longer towards the bottom."""
    height, width = size
    count = int(rng.integers(120, 260))
    y = np.sort(rng.uniform(top + 0.02, 1.05, count)) * height
    root = np.stack([rng.uniform(0, width, count), y], 1)
    length = (0.03 + 0.08 * (y / height) ** 2) * height * rng.uniform(0.5, 1.3, count)
    outlines = _blade_outlines(
        root, length, 0.6 + length * 0.03, rng.normal(0, 0.35, count), rng.normal(0, 0.6, count)
    )
    return _pieces(outlines, _shades(rng, tint, count, 0.5))


def blades(rng: np.random.Generator, size: Size, tint: Colour) -> list[Piece]:
    """Draw long leaves of grass that rise from the lower edge."""
    height, width = size
    count = int(rng.integers(5, 22))
    middle, spread = rng.uniform(0, width), rng.uniform(0.1, 0.35) * width
    root = np.stack([rng.normal(middle, spread, count), np.full(count, height * 1.03)], 1)
    length = rng.uniform(0.2, 0.62) * height * rng.uniform(0.5, 1.2, count)
    lean = rng.normal(0, 0.2, count)
    outlines = _blade_outlines(
        root, length, rng.uniform(1.5, 4.0, count), lean, rng.normal(0, 0.5, count)
    )
    return _pieces(outlines, _shades(rng, tint, count, 0.45))


def pebbles(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw stones with a dark underside and a lighter top."""
    height, width = size
    count = int(rng.integers(25, 70))
    y = np.sort(rng.uniform(top + 0.04, 1.0, count)) * height
    centre = np.stack([rng.uniform(0, width, count), y], 1)
    radius = (1.5 + rng.gamma(1.6, 2.2, count)) * (0.4 + 0.8 * y / height)
    radii, angle = (
        np.stack([radius, radius * rng.uniform(0.55, 0.9, count)], 1),
        rng.normal(0, 0.4, count),
    )
    tops = _oval_outlines(centre, radii, angle, 0.0)
    lights = _oval_outlines(centre - radii * (0.2, 0.3), radii * 0.55, angle, 0.0)
    colours = _shades(rng, tint, count, 0.35)
    under = _pieces(tops + (0.8, 1.6), colours * 0.45)
    faces, spots = _pieces(tops, colours), _pieces(lights, np.minimum(colours * 1.2, 250))
    return [piece for stone in zip(under, faces, spots, strict=True) for piece in stone]


def leaves(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw scattered leaves, each with a bright and a shaded half."""
    height, width = size
    count = int(rng.integers(25, 60))
    centre = _scattered(rng, size, count, top)
    return _leaf_pieces(rng, centre, rng.uniform(0.018, 0.05, count) * width, tint)


def _leaf_pieces(
    rng: np.random.Generator, centre: np.ndarray, length: np.ndarray, tint: Colour
) -> list[Piece]:
    count = len(centre)
    radii = np.stack([length, length * rng.uniform(0.3, 0.5, count)], 1)
    whole = _oval_outlines(centre, radii, rng.uniform(0, 2 * np.pi, count), 0.6)
    colours = _shades(rng, tint, count, 0.4)
    bright, dark = _pieces(whole, colours), _pieces(whole[:, :7], colours * 0.75)
    return [piece for leaf in zip(bright, dark, strict=True) for piece in leaf]


def leaf_cluster(rng: np.random.Generator, size: Size, tint: Colour) -> list[Piece]:
    """Draw leaves that hang into the image from a point on its border."""
    height, width = size
    at = _border_point(rng, size)
    count = int(rng.integers(10, 28))
    centre = at + rng.normal(0, rng.uniform(0.06, 0.13), (count, 2)) * width
    return _leaf_pieces(rng, centre, rng.uniform(0.03, 0.07, count) * width, tint)


def twigs(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw thin dry sticks on the ground, each with its shadow."""
    height, width = size
    count = int(rng.integers(8, 24))
    root = _scattered(rng, size, count, top)
    length = rng.uniform(0.06, 0.28, count) * width
    angle, bend = rng.uniform(0, 2 * np.pi, count), rng.normal(0, 0.5, count)
    outlines = _blade_outlines(root, length, rng.uniform(0.8, 2.4, count), angle, bend)
    colours = _shades(rng, (0.5 * tint[0] + 50, 0.5 * tint[1] + 34, 0.5 * tint[2] + 20), count, 0.5)
    under, over = _pieces(outlines + (1.0, 2.0), colours * 0.4), _pieces(outlines, colours)
    return [piece for twig in zip(under, over, strict=True) for piece in twig]


def cracks(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw dark jagged lines."""
    height, width = size
    pieces = []
    for _ in range(int(rng.integers(2, 6))):
        steps = int(rng.integers(5, 11))
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.45, steps))
        path = (
            np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0)
            * rng.uniform(0.02, 0.06)
            * width
        )
        path += _scattered(rng, size, 1, top)
        half = np.linspace(rng.uniform(0.7, 1.8), 0.3, steps)[:, None]
        pieces.append(Piece(limb(np.concatenate([path, half], 1)), tuple(c * 0.4 for c in tint)))
    return pieces


def stripes(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw a few parallel bars of strong contrast: road marks, a printed cloth."""
    height, width = size
    count, angle = int(rng.integers(2, 6)), rng.uniform(-0.9, 0.9)
    pitch, half = rng.uniform(0.06, 0.16) * width, rng.uniform(0.01, 0.03) * width
    bright = sum(tint) < 330 if rng.random() < 0.8 else sum(tint) >= 330
    colour = tuple(min(c * 1.9 + 25, 235) if bright else c * 0.45 for c in tint)
    middle = rng.uniform(0.1, 0.9, 2) * (width, height)
    reach = rng.uniform(0.2, 0.9) * width
    pieces = []
    for i in range(count):
        x, y = middle + (i - count / 2) * pitch * np.array([np.cos(angle), np.sin(angle)])
        dx, dy = -np.sin(angle) * reach, np.cos(angle) * reach
        pieces.append(Piece(limb([(x - dx, y - dy, half), (x + dx, y + dy, half)]), colour))
    return pieces


def blotches(rng: np.random.Generator, size: Size, tint: Colour, top: float) -> list[Piece]:
    """Draw stains, worn spots and lichen."""
    height, width = size
    count = int(rng.integers(6, 20))
    centre = _scattered(rng, size, count, top)
    radii = rng.gamma(2.0, 0.014, (count, 1)) * width * rng.uniform(0.6, 1.2, (count, 2))
    outlines = _oval_outlines(centre, radii, rng.uniform(0, np.pi, count), 0.0)
    outlines += rng.normal(0, 0.12, outlines.shape) * radii[:, None]
    return _pieces(outlines, _shades(rng, tint, count, 0.35))


def branch(rng: np.random.Generator, size: Size, tint: Colour) -> list[Piece]:
    """Draw a branch from the border, with a lit side, twigs and in most draws leaves."""
    height, width = size
    start = _border_point(rng, size)
    aim = rng.uniform(0.2, 0.8, 2) * (width, height) - start
    length = np.hypot(*aim) * rng.uniform(0.8, 1.5)
    steps = 7
    turns = np.arctan2(aim[1], aim[0]) + np.cumsum(rng.normal(0, 0.12, steps))
    path = start + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0) * (length / steps)
    half = np.linspace(rng.uniform(2.5, 6.0), 1.0, steps)[:, None]
    bark = rng.uniform(0.6, 1.2) * np.array((92, 70, 52))
    pieces = [
        Piece(limb(np.concatenate([path, half], 1)), tuple(bark * 0.6)),
        Piece(limb(np.concatenate([path - half * 0.35, half * 0.5], 1)), tuple(bark * 1.15)),
    ]
    count = int(rng.integers(2, 5))
    root = path[rng.integers(1, steps, count)]
    reach, angle = rng.uniform(0.08, 0.2, count) * width, rng.uniform(0, 2 * np.pi, count)
    twig = _blade_outlines(
        root, reach, rng.uniform(1.0, 2.0, count), angle, rng.normal(0, 0.4, count)
    )
    pieces += _pieces(twig, np.tile(bark * 0.75, (count, 1)))
    if rng.random() < 0.65:
        tips = np.concatenate([twig[:, 3], path[2:]])
        tips = tips + rng.normal(0, 5, tips.shape)
        pieces += _leaf_pieces(rng, tips, rng.uniform(0.018, 0.045, len(tips)) * width, tint)
    return pieces


def rods(rng: np.random.Generator, size: Size, tint: Colour) -> list[Piece]:
    """Draw one to three straight bars across the image: a fence, a post, a wire."""
    height, width = size
    steep = rng.random() < 0.6
    half, metal = rng.uniform(1.5, 5.0), rng.uniform(50, 210) * np.array(rng.uniform(0.85, 1.1, 3))
    first, pitch, lean = rng.uniform(0.1, 0.9), rng.uniform(0.12, 0.3), rng.uniform(-0.12, 0.12)
    pieces = []
    for i in range(int(rng.integers(1, 4))):
        at = first + i * pitch
        if steep:
            ends = np.array([(at * width, -5.0), ((at + lean) * width, height + 5.0)])
        else:
            ends = np.array([(-5.0, at * height), (width + 5.0, (at + lean) * height)])
        for offset, share, light in ((0.0, 1.0, 0.6), (-0.2, 0.6, 1.0), (-0.4, 0.2, 1.3)):
            outline = limb(np.c_[ends + offset * half, np.full(2, half * share)])
            pieces.append(Piece(outline, tuple(np.clip(metal * light, 0, 250))))
    return pieces


def _border_point(rng: np.random.Generator, size: Size) -> np.ndarray:
    height, width = size
    along = rng.uniform(0, 1)
    sides = (
        (along * width, -4),
        (along * width, height + 4),
        (-4, along * height),
        (width + 4, along * height),
    )
    return np.array(sides[int(rng.integers(4))])


BEHIND: dict[str, GroundMaker] = {
    "grass": grass,
    "pebbles": pebbles,
    "leaves": leaves,
    "twigs": twigs,
    "cracks": cracks,
    "stripes": stripes,
    "blotches": blotches,
}
IN_FRONT: dict[str, FrontMaker] = {
    "blades": blades,
    "branch": branch,
    "leaves": leaf_cluster,
    "rods": rods,
}
