"""Layout of a scene: its objects with geometry, materials and phrases, before any painting.

A layout determines all annotations. `painting` determines only properties that the annotations do
not state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .clutter import Piece
from .materials import Material, draw_materials
from .outlines import coverage
from .palette import GROUNDS, SETTINGS, Colour, Setting, mix
from .placement import Shape

SIZES = ((240, 320), (320, 240), (264, 352), (352, 264), (280, 280), (270, 330))  # (H, W)

_LEAST_VISIBLE = 0.35  # smallest visible share of an object's area
_LEAST_AREA = 0.006  # smallest visible area of an object, as a share of the image


@dataclass(frozen=True)
class PlacedObject:
    """A shape with its phrase and its materials.

    Attributes:
        materials: slot -> material.
        silhouette: (h, w) uint8 coverage in the shape's window.
    """

    shape: Shape
    phrase: str
    materials: dict[str, Material]
    silhouette: np.ndarray


@dataclass(frozen=True)
class Backdrop:
    """Setting of a scene, with the colours of its two grounds.

    The second ground lies below the line y = edge + tilt * x, with x and y as shares of W and H.
    """

    setting: Setting
    colours: tuple[Colour, Colour]
    edge: float
    tilt: float

    @property
    def ground_top(self) -> float:
        """Top of the ground on which clutter lies, as a share of the height."""
        if self.setting.composition == "single":
            return 0.0
        return min(self.edge + max(self.tilt, 0.0), 1.0)

    def colour_at(self, x: float, y: float) -> Colour:
        """Return the ground's base colour at a position, given as shares of width and height."""
        if self.setting.composition == "single":
            return self.colours[0]
        return self.colours[int(y > self.edge + self.tilt * x)]


@dataclass(frozen=True)
class EmptyScene:
    """A scene without objects.

    Attributes:
        size: (H, W) in pixels.
        backdrop: setting and grounds.
        light: direction from which the light comes, in radians.
    """

    size: tuple[int, int]
    backdrop: Backdrop
    light: float


@dataclass(frozen=True)
class Layout:
    """A whole scene.

    Attributes:
        scene: size, backdrop and light.
        objects: objects, back to front.
        front: clutter in front of the objects.
        masks: (n, H, W) bool, visible pixels of each object.
    """

    scene: EmptyScene
    objects: tuple[PlacedObject, ...]
    front: tuple[Piece, ...]
    masks: np.ndarray

    @property
    def annotated(self) -> dict[int, int]:
        """Position among the objects -> category id, for those that have an annotation."""
        ids = enumerate(placed.shape.category_id for placed in self.objects)
        return {position: i for position, i in ids if i is not None}


def draw_empty_scene(rng: np.random.Generator) -> EmptyScene:
    """Draw the size, the backdrop and the light of a scene."""
    size = SIZES[int(rng.integers(len(SIZES)))]
    backdrop = _draw_backdrop(rng)
    light = float(rng.uniform(-2.5, -0.6))  # radians: from above, between left and right
    return EmptyScene(size, backdrop, light)


def _draw_backdrop(rng: np.random.Generator) -> Backdrop:
    settings = list(SETTINGS.values())
    weights = np.array([setting.weight for setting in settings])
    setting = settings[int(rng.choice(len(settings), p=weights / weights.sum()))]
    colours = []
    for name in setting.grounds:
        choices = GROUNDS[name].colours
        first, second = (choices[int(i)] for i in rng.integers(len(choices), size=2))
        gain = rng.uniform(0.8, 1.1)
        colours.append(tuple(min(c * gain, 245.0) for c in mix(first, second, rng.uniform(0, 1))))
    if setting.composition == "single":  # the second ground takes on some colour of the first
        colours[1] = mix(colours[1], colours[0], rng.uniform(0.1, 0.6))
    if setting.composition == "split":
        edge, tilt = rng.uniform(0.35, 0.75), rng.uniform(-0.3, 0.3)
    else:
        edge, tilt = rng.uniform(0.1, 0.5), rng.uniform(-0.06, 0.06)
    return Backdrop(setting, (colours[0], colours[1]), float(edge), float(tilt))


def dress(rng: np.random.Generator, scene: EmptyScene, shape: Shape, name: str) -> PlacedObject:
    """Return the shape with its phrase and with materials drawn for the ground at its centre.

    Args: name: kind of the object, for the phrase.
    """
    x1, y1, x2, y2 = shape.window
    height, width = scene.size
    ground = scene.backdrop.colour_at((x1 + x2) / (2 * width), (y1 + y2) / (2 * height))
    colour_name, materials = draw_materials(rng, ground)
    return PlacedObject(
        shape=shape,
        phrase=f"a {materials['main'].pattern} {colour_name} {name}-like shape",
        materials=materials,
        silhouette=coverage([part.outline for part in shape.parts], shape.window),
    )


def compose(
    scene: EmptyScene, objects: Sequence[PlacedObject], front: Sequence[Piece] = ()
) -> Layout:
    """Return the layout of a scene, its objects (back to front) and the clutter before them."""
    masks = _visible_masks(scene.size, objects, front)
    return Layout(scene, tuple(objects), tuple(front), masks)


def _visible_masks(
    size: tuple[int, int], objects: Sequence[PlacedObject], front: Sequence[Piece]
) -> np.ndarray:
    """Return the visible pixels of each object, (n, H, W) bool."""
    height, width = size
    masks = np.zeros((len(objects), height, width), dtype=bool)
    free = np.ones((height, width), dtype=bool)
    if front:
        free = coverage([piece.outline for piece in front], (0, 0, width, height)) < 128
    for mask, placed in zip(masks[::-1], objects[::-1], strict=True):
        x1, y1, x2, y2 = placed.shape.window
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        part = placed.silhouette[top - y1 : bottom - y1, left - x1 : right - x1] >= 128
        view = free[top:bottom, left:right]
        np.logical_and(part, view, out=mask[top:bottom, left:right])
        view &= ~part
    return masks


def well_visible(layout: Layout) -> list[bool]:
    """Return for each object whether enough of it is visible."""
    shares = []
    for placed, mask in zip(layout.objects, layout.masks, strict=True):
        visible, whole = int(mask.sum()), int((placed.silhouette >= 128).sum())
        shares.append(visible >= _LEAST_VISIBLE * whole and visible >= _LEAST_AREA * mask.size)
    return shares


def visible_boxes(masks: np.ndarray) -> np.ndarray:
    """Return the tight half-open XYXY boxes of non-empty masks (n, H, W), as (n, 4) float32."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
