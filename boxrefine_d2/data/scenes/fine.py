"""Layouts of `fine:`: a butterfly, whose eyespot is the label of the image.

Nothing but the eyespot depends on the label: two labels of one (split, index) give images that
agree in every pixel outside the eyespot.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from .butterfly import EYESPOT_SLOTS, EYESPOTS, Eyespot, butterfly, eyespot
from .categories import Category
from .layout import Layout, compose, draw_empty_scene, dress
from .materials import Material
from .outlines import Part, coverage
from .palette import Colour, distance
from .placement import draw_area, draw_pose, place, side_for_area

NAMES = tuple(f"{name} butterfly" for name in EYESPOTS)

_AREA = (0.07, 0.35)  # range of the butterfly's area, as a share of the image
_TURN = 180.0  # largest rotation in degrees
_RIMS: tuple[Colour, Colour] = ((240, 236, 226), (22, 20, 24))


def draw_fine(rng: np.random.Generator, label: int) -> Layout | None:
    """Draw one butterfly with the eyespot of a class. Nothing covers it."""
    scene = draw_empty_scene(rng)
    name, kind = list(EYESPOTS.items())[label]
    pose = draw_pose(rng, Category(partial(_marked, kind=kind), _TURN))
    least, most = _AREA
    side = side_for_area(pose, scene.size, draw_area(rng, least, most))
    shape = place(rng, scene.size, pose, label, [side], [], cut_off=0.0)
    assert shape is not None  # nothing is in its way
    placed = dress(rng, scene, shape, "butterfly")
    rim = max(_RIMS, key=lambda colour: distance(colour, placed.materials["main"].colour))
    colours = (rim, kind.iris, kind.pupil)
    spots = {slot: Material(colour) for slot, colour in zip(EYESPOT_SLOTS, colours)}
    phrase = f"{placed.phrase} with a {name}"
    return compose(scene, [replace(placed, phrase=phrase, materials=placed.materials | spots)])


def _marked(rng: np.random.Generator, kind: Eyespot) -> list[Part]:
    body = butterfly(rng)
    return body + eyespot(rng, kind, body)


def eyespot_mask(layout: Layout) -> np.ndarray:
    """Return the pixels of the eyespot in a layout of `fine:`, (H, W) bool."""
    height, width = layout.scene.size
    (placed,) = layout.objects
    rims = [part.outline for part in placed.shape.parts if part.slot == EYESPOT_SLOTS[0]]
    return coverage(rims, (0, 0, width, height)) >= 128


def without_eyespot(layout: Layout) -> Layout:
    """Return the same butterfly without its eyespot, for controls: its wing is whole there."""
    (placed,) = layout.objects
    parts = tuple(part for part in placed.shape.parts if part.slot not in EYESPOT_SLOTS)
    return replace(layout, objects=(replace(placed, shape=replace(placed.shape, parts=parts)),))
