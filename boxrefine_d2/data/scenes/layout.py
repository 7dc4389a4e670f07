"""Layout of a scene: its objects with geometry, materials and phrases, before any painting.

A layout is a pure function of (split number, index). It determines all annotations. `painting`
determines only properties that the annotations do not state.
"""

from dataclasses import dataclass

import numpy as np

from .categories import CATEGORIES, CATEGORY_NAMES
from .clutter import IN_FRONT, Piece
from .materials import Material, draw_materials
from .outlines import Part, bounding_window, coverage
from .palette import GROUNDS, SETTINGS, Colour, Setting, mix

Window = tuple[int, int, int, int]

SEED = 0xB0C5
SIZES = ((240, 320), (320, 240), (264, 352), (352, 264), (280, 280), (270, 330))  # (H, W)

_OBJECT_COUNTS = (0.36, 0.32, 0.2, 0.12)  # probabilities of one, two, three and four objects
# Range of an object's longer side, as a share of the geometric mean of the image's sides.
_LARGEST_SIDE = (0.22, 0.75)
_CUT_OFF = 0.12  # share of objects that may reach beyond the border
_FRONT_CLUTTER = 0.45  # share of scenes with clutter in front of the objects
_LEAST_VISIBLE = (
    0.35  # smallest visible share of an object's area; below it, the object is left out
)
_LEAST_AREA = 0.006  # smallest visible area of an object, as a share of the image
_PLACES_TRIED = 7  # attempts to place an object before it is left out
_MOST_OVERLAP = 0.15  # largest overlap of two objects, as a share of the smaller box


@dataclass(frozen=True)
class Shape:
    """Geometry of an object in the image: its parts in pixels, back to front, and its own frame."""

    category_id: int
    parts: tuple[Part, ...]
    origin: tuple[float, float]  # (x, y) of the frame's (0, 0) in pixels
    scale: float  # pixels per unit of the frame
    angle: float  # radians
    mirror: int  # -1 if the object looks to the left, otherwise 1
    window: Window


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
        return 0.0 if self.setting.composition == "single" else self.edge + max(self.tilt, 0.0)

    def colour_at(self, x: float, y: float) -> Colour:
        """Return the ground's base colour at a position, given as shares of width and height."""
        if self.setting.composition == "single":
            return self.colours[0]
        return self.colours[int(y > self.edge + self.tilt * x)]


@dataclass(frozen=True)
class Layout:
    """A whole scene.

    Attributes:
        size: (H, W) in pixels.
        backdrop: setting and grounds.
        light: direction from which the light comes, in radians.
        objects: objects, back to front.
        front: clutter in front of the objects.
        masks: (n, H, W) bool, visible pixels of each object.
    """

    size: tuple[int, int]
    backdrop: Backdrop
    light: float
    objects: tuple[PlacedObject, ...]
    front: tuple[Piece, ...]
    masks: np.ndarray


def scene_layout(split_number: int, index: int) -> Layout:
    """Return the layout of one scene.

    It is drawn again with the next seed until it has a well visible object.
    """
    attempt = 0
    while True:
        layout = _draw_layout(np.random.default_rng((SEED, split_number, index, attempt)))
        if layout.objects:
            return layout
        attempt += 1


def _draw_layout(rng: np.random.Generator) -> Layout:
    size = SIZES[int(rng.integers(len(SIZES)))]
    backdrop = _draw_backdrop(rng)
    light = float(rng.uniform(-2.5, -0.6))  # radians: from above, between left and right
    objects = _draw_objects(rng, size, backdrop)
    front: list[Piece] = []
    if rng.random() < _FRONT_CLUTTER:
        kinds = backdrop.setting.front
        tint = _front_tint(rng, backdrop)
        front = IN_FRONT[kinds[int(rng.integers(len(kinds)))]](rng, size, tint)
    masks = _visible_masks(size, objects, front)
    keep = [i for i, placed in enumerate(objects) if _well_visible(placed, masks[i])]
    if len(keep) < len(objects):
        objects = [objects[i] for i in keep]
        masks = _visible_masks(size, objects, front)
    return Layout(size, backdrop, light, tuple(objects), tuple(front), masks)


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


def _front_tint(rng: np.random.Generator, backdrop: Backdrop) -> Colour:
    foliage = ((70, 105, 40), (110, 125, 50), (140, 110, 55), (50, 80, 45), (90, 60, 45))
    return mix(foliage[int(rng.integers(len(foliage)))], backdrop.colours[1], rng.uniform(0, 0.4))


def _draw_objects(
    rng: np.random.Generator, size: tuple[int, int], backdrop: Backdrop
) -> list[PlacedObject]:
    count = 1 + int(rng.choice(len(_OBJECT_COUNTS), p=_OBJECT_COUNTS))
    smallest, largest = _LARGEST_SIDE
    objects: list[PlacedObject] = []
    for number in range(count):
        # Several objects share the image, and the later ones are therefore smaller on average.
        top = largest if number == 0 else largest * 0.75
        share = smallest * (top / smallest) ** rng.uniform(0, 1) ** (0.6 if number == 0 else 0.9)
        shape = _place_shape(rng, size, share, [other.shape.window for other in objects])
        if shape is not None:
            objects.append(_dress(rng, size, backdrop, shape))
    return objects


def _place_shape(
    rng: np.random.Generator, size: tuple[int, int], share: float, taken: list[Window]
) -> Shape | None:
    """Draw an object and a place where it overlaps the `taken` windows little.

    The object shrinks with each attempt.

    Args: share: longer side of the object, as a share of the geometric mean of the image's sides.
    Returns: the placed shape, or None if there was no room.
    """
    category_id = int(rng.integers(len(CATEGORY_NAMES)))
    category = CATEGORIES[CATEGORY_NAMES[category_id]]
    parts = category.build(rng)
    angle = float(np.deg2rad(category.tilt) * rng.uniform(-1, 1))
    mirror = -1 if rng.random() < 0.5 else 1
    stretch = rng.uniform(0.88, 1.14)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[mirror * stretch * c, mirror * stretch * s], [-s / stretch, c / stretch]])
    points = np.concatenate([part.outline for part in parts]) @ turn
    low, high = points.min(axis=0), points.max(axis=0)
    for attempt in range(_PLACES_TRIED):
        side = max(share * 0.9**attempt, _LARGEST_SIDE[0]) * np.sqrt(size[0] * size[1])
        scale = float(min(side, 0.8 * min(size)) / (high - low).max())
        shift = _draw_corner(rng, size, (high - low) * scale) - low * scale
        placed = points * scale + shift
        window = bounding_window(placed)
        if all(_box_overlap(window, other) <= _MOST_OVERLAP for other in taken):
            ends = np.cumsum([len(part.outline) for part in parts])
            moved = zip(np.split(placed, ends[:-1]), parts)
            outlines = tuple(Part(outline, part.slot, part.relief) for outline, part in moved)
            origin = (float(shift[0]), float(shift[1]))
            return Shape(category_id, outlines, origin, scale, angle, mirror, window)
    return None


def _draw_corner(rng: np.random.Generator, size: tuple[int, int], extent: np.ndarray) -> np.ndarray:
    """Draw the upper left corner (x, y) of a box with the given (width, height) in pixels.

    Some boxes reach beyond the border.
    """
    slack = 0.3 * extent if rng.random() < _CUT_OFF else np.full(2, -3.0)
    room = np.array(size[::-1]) - extent
    # Beta(0.8, 0.8) favours the sides a little over a uniform draw. Therefore no fixed box fits the
    # objects of many images.
    corner: np.ndarray = -slack + (room + 2 * slack) * rng.beta(0.8, 0.8, 2)
    return corner


def _dress(
    rng: np.random.Generator, size: tuple[int, int], backdrop: Backdrop, shape: Shape
) -> PlacedObject:
    """Return the shape with its phrase and with materials drawn for the ground at its centre."""
    x1, y1, x2, y2 = shape.window
    ground = backdrop.colour_at((x1 + x2) / (2 * size[1]), (y1 + y2) / (2 * size[0]))
    colour_name, materials = draw_materials(rng, ground)
    name = CATEGORY_NAMES[shape.category_id]
    return PlacedObject(
        shape=shape,
        phrase=f"a {materials['main'].pattern} {colour_name} {name}-like shape",
        materials=materials,
        silhouette=coverage([part.outline for part in shape.parts], shape.window),
    )


def _box_overlap(first: Window, second: Window) -> float:
    """Return the intersection of two boxes, as a share of the smaller box."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((w[2] - w[0]) * (w[3] - w[1]) for w in (first, second))
    return max(wide, 0) * max(high, 0) / smaller


def _visible_masks(
    size: tuple[int, int], objects: list[PlacedObject], front: list[Piece]
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


def _well_visible(placed: PlacedObject, mask: np.ndarray) -> bool:
    visible, whole = int(mask.sum()), int((placed.silhouette >= 128).sum())
    return visible >= _LEAST_VISIBLE * whole and visible >= _LEAST_AREA * mask.size


def visible_boxes(masks: np.ndarray) -> np.ndarray:
    """Return the tight half-open XYXY boxes of non-empty masks (n, H, W), as (n, 4) float32."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
