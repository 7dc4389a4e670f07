"""Layouts of `kinds:`: one object, whose kind is the label of the image, and two loose pieces."""

import numpy as np

from .categories import CATEGORIES, CATEGORY_NAMES
from .layout import EmptyScene, Layout, PlacedObject, compose, draw_empty_scene, dress, well_visible
from .loose import LOOSE
from .placement import Window, draw_area, draw_pose, place, side_for_area

AREA = (0.05, 0.45)  # range of the object's visible area, as a share of the image
_PIECES = 2
_PIECE_AREA = (0.007, 0.02)  # range of a piece's area, as a share of the image
_PLACES_TRIED = 12


def draw_kinds(rng: np.random.Generator, label: int) -> Layout | None:
    """Draw one object of a kind and two loose pieces of clutter.

    Returns: the layout, or None if the pieces have no room or the object has a wrong visible area.
    """
    scene = draw_empty_scene(rng)
    name = CATEGORY_NAMES[label]
    pose = draw_pose(rng, CATEGORIES[name])
    least, most = AREA
    side = side_for_area(pose, scene.size, draw_area(rng, least, most))
    shape = place(rng, scene.size, pose, label, [side], [], cut_off=0.0)
    assert shape is not None  # nothing is in its way
    objects = [dress(rng, scene, shape, name)]
    for _ in range(_PIECES):
        piece = _draw_piece(rng, scene, [placed.shape.window for placed in objects])
        if piece is None:
            return None
        objects.insert(int(rng.integers(len(objects) + 1)), piece)
    layout = compose(scene, objects)
    (number,) = layout.annotated
    share = layout.masks[number].mean()
    return layout if all(well_visible(layout)) and least <= share <= most else None


def _draw_piece(
    rng: np.random.Generator, scene: EmptyScene, taken: list[Window]
) -> PlacedObject | None:
    name = list(LOOSE)[int(rng.integers(len(LOOSE)))]
    pose = draw_pose(rng, LOOSE[name])
    side = side_for_area(pose, scene.size, rng.uniform(*_PIECE_AREA))
    shape = place(rng, scene.size, pose, None, [side] * _PLACES_TRIED, taken)
    return None if shape is None else dress(rng, scene, shape, name)
