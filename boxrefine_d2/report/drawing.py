"""Elements that are drawn on images, for the templates in `templates/shared/drawing.html`.

They are boxes, points and maps. Boxes are XYXY, half-open; all positions are in pixels of the
image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .figures import CellMap, map_uri, photo_uri

_ROW_GAP, _COLUMN_GAP = 6, 8  # gaps of .panels in frame.css, pixels
_MOST = 300  # greatest height of a panel, pixels
_RIM = 0.004  # inset of a box at the border of the image, as a share of its width


@dataclass(frozen=True)
class DrawnBox:
    """Box of a figure. `style` is its class in the page's style sheet."""

    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class DrawnPoint:
    """Mark of a point.

    `style` is its class in the page's style sheet, `path` the `d` of an SVG path.
    """

    style: str
    path: str


@dataclass(frozen=True)
class Panel:
    """Image, or map of an image, with the elements drawn on it.

    Attributes:
        width, height: size of the image.
        title: title for screen readers.
        kind: "photo" or "cells", its class in the style sheet.
        uri: image or map as a data URI.
        extent: (width, height) that the image or the map covers.
        boxes, points: elements; later ones cover earlier ones.
        caption: caption, "" for none.
    """

    width: int
    height: int
    title: str
    kind: str
    uri: str
    extent: tuple[float, float]
    boxes: Sequence[DrawnBox]
    points: Sequence[DrawnPoint]
    caption: str


def panel(
    image: np.ndarray,
    title: str,
    boxes: Sequence[DrawnBox],
    points: Sequence[DrawnPoint] = (),
    *,
    cells: CellMap | None = None,
    caption: str = "",
) -> Panel:
    """Return the panel of an image, or of a map of it.

    Args: image: (H, W, 3) uint8.  title: title for screen readers.  cells: map to show instead.
    """
    height, width = image.shape[:2]
    if cells is None:
        kind, uri, extent = "photo", photo_uri(image), (width, height)
    else:
        kind, uri, extent = "cells", map_uri(cells.values, cells.colours), cells.extent
    return Panel(width, height, title, kind, uri, extent, boxes, points, caption)


def panel_sizes(image: np.ndarray, *, has_maps: bool) -> str:
    """Return the style of a card's panels.

    No panel is higher than `_MOST`. Two small panels and their gap are as high as the large one.

    Args: image: (H, W, 3).
    """
    height, width = image.shape[:2]
    most = _MOST * width / height
    if not has_maps:
        return f"--most:{most:.0f}px"
    gaps = _COLUMN_GAP + _ROW_GAP * width / height
    return f"--most:{1.5 * most + gaps / 2:.0f}px;--narrow:calc((100% - {gaps:.1f}px) / 3)"


def drawn_box(style: str, box: Tensor, width: int, height: int) -> DrawnBox:
    """Return a box (4,) on an image of that size; sides at the border are moved inside."""
    rim = _RIM * width
    x1, y1, x2, y2 = box.tolist()
    x1, y1 = max(x1, rim), max(y1, rim)
    x2, y2 = min(x2, width - rim), min(y2, height - rim)
    return DrawnBox(style, x1, y1, max(x2 - x1, 0), max(y2 - y1, 0))


def drawn_point(
    style: str, point: tuple[int, int], size: tuple[int, int], *, half: float
) -> DrawnPoint:
    """Return the mark of a point around a dot: a diamond for "before", a ring for other styles.

    Args:
        point: (x, y), a pixel of an image of `size`, (width, height).
        half: half the width of the mark.
    """
    width, height = size
    # at the border, the mark is moved so that all of it is visible
    x = min(max(point[0] + 0.5, half), width - half)
    y = min(max(point[1] + 0.5, half), height - half)
    if style == "before":
        corners = ((x, y - half), (x + half, y), (x, y + half), (x - half, y))
        shape = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in corners) + "Z"
    else:
        shape = (
            f"M{x - half:.1f},{y:.1f}a{half:.1f},{half:.1f} 0 1 0 {2 * half:.1f},0"
            f"a{half:.1f},{half:.1f} 0 1 0 {-2 * half:.1f},0Z"
        )
    return DrawnPoint(
        style, f"{shape}M{x:.1f},{y:.1f}h.01"
    )  # round caps turn the last part into a dot
