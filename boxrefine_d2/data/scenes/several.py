"""Layouts of `scenes:`: one to four objects of any kind, some of them behind clutter."""

import numpy as np

from .categories import CATEGORIES, CATEGORY_NAMES
from .clutter import IN_FRONT, Piece
from .layout import (
    Backdrop,
    EmptyScene,
    Layout,
    PlacedObject,
    compose,
    draw_empty_scene,
    dress,
    well_visible,
)
from .palette import Colour, mix
from .placement import draw_pose, place

_OBJECT_COUNTS = (0.36, 0.32, 0.2, 0.12)  # probabilities of one, two, three and four objects
# Range of an object's longer side, as a share of the geometric mean of the image's sides.
_LARGEST_SIDE = (0.22, 0.75)
_FRONT_CLUTTER = 0.45  # share of scenes with clutter in front of the objects
_PLACES_TRIED = 7  # attempts to place an object before it is left out


def draw_several(rng: np.random.Generator) -> Layout | None:
    """Draw a scene of several objects, or return None if no object is well visible."""
    scene = draw_empty_scene(rng)
    objects = _draw_objects(rng, scene)
    front: list[Piece] = []
    if rng.random() < _FRONT_CLUTTER:
        kinds = scene.backdrop.setting.front
        tint = _front_tint(rng, scene.backdrop)
        front = IN_FRONT[kinds[int(rng.integers(len(kinds)))]](rng, scene.size, tint)
    layout = compose(scene, objects, front)
    kept = [placed for placed, seen in zip(objects, well_visible(layout)) if seen]
    if len(kept) < len(objects):
        layout = compose(scene, kept, front)
    return layout if kept else None


def _front_tint(rng: np.random.Generator, backdrop: Backdrop) -> Colour:
    foliage = ((70, 105, 40), (110, 125, 50), (140, 110, 55), (50, 80, 45), (90, 60, 45))
    return mix(foliage[int(rng.integers(len(foliage)))], backdrop.colours[1], rng.uniform(0, 0.4))


def _draw_objects(rng: np.random.Generator, scene: EmptyScene) -> list[PlacedObject]:
    count = 1 + int(rng.choice(len(_OBJECT_COUNTS), p=_OBJECT_COUNTS))
    smallest, largest = _LARGEST_SIDE
    height, width = scene.size
    objects: list[PlacedObject] = []
    for number in range(count):
        # Several objects share the image, and the later ones are therefore smaller on average.
        top = largest if number == 0 else largest * 0.75
        share = smallest * (top / smallest) ** rng.uniform(0, 1) ** (0.6 if number == 0 else 0.9)
        category_id = int(rng.integers(len(CATEGORY_NAMES)))
        name = CATEGORY_NAMES[category_id]
        pose = draw_pose(rng, CATEGORIES[name])
        # the object shrinks with each attempt
        shares = [max(share * 0.9**attempt, smallest) for attempt in range(_PLACES_TRIED)]
        sides = [min(side * np.sqrt(height * width), 0.8 * min(scene.size)) for side in shares]
        taken = [other.shape.window for other in objects]
        shape = place(rng, scene.size, pose, category_id, sides, taken)
        if shape is not None:
            objects.append(dress(rng, scene, shape, name))
    return objects
