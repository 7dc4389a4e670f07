"""Layouts of `pair:`: an animal or plant, whose kind is the label, among man-made objects."""

import numpy as np

from .categories import CATEGORIES
from .layout import EmptyScene, Layout, PlacedObject, compose, draw_empty_scene, dress, well_visible
from .living import LIVING
from .made import MADE
from .placement import CUT_OFF, Window, draw_area, draw_pose, place, side_for_area

LABEL_NAMES = tuple(LIVING)
OTHER_NAMES = tuple(MADE)

_MOST_OTHERS = 3
_LEAST_AREA = 0.03  # smallest area of an object, as a share of the image
_MOST_AREA = 0.2
_MOST_OTHER_AREA = 0.3
_PLACES_TRIED = 7  # attempts to place an object, which shrinks with each of them


def draw_pair(rng: np.random.Generator, label: int) -> Layout | None:
    """Draw one object with an annotation and one to three others without.

    Returns: the layout, or None if an object has no room or is hidden.
    """
    scene = draw_empty_scene(rng)
    others = rng.integers(len(OTHER_NAMES), size=1 + int(rng.integers(_MOST_OTHERS)))
    objects = [_draw_object(rng, scene, LABEL_NAMES[label], label, _MOST_AREA, [])]
    for other in others:
        taken = [placed.shape.window for placed in objects if placed is not None]
        objects.append(_draw_object(rng, scene, OTHER_NAMES[other], None, _MOST_OTHER_AREA, taken))
    found = [objects[i] for i in rng.permutation(len(objects))]
    placed = [each for each in found if each is not None]
    layout = compose(scene, placed)
    return layout if len(placed) == len(found) and all(well_visible(layout)) else None


def _draw_object(
    rng: np.random.Generator,
    scene: EmptyScene,
    name: str,
    category_id: int | None,
    most: float,
    taken: list[Window],
) -> PlacedObject | None:
    pose = draw_pose(rng, CATEGORIES[name])
    side = side_for_area(pose, scene.size, draw_area(rng, _LEAST_AREA, most))
    sides = [side * 0.9**attempt for attempt in range(_PLACES_TRIED)]
    # an object with a label is whole, because a flower without its bloom tells no kind
    cut_off = CUT_OFF if category_id is None else 0.0
    shape = place(rng, scene.size, pose, category_id, sides, taken, cut_off)
    return None if shape is None else dress(rng, scene, shape, name)
