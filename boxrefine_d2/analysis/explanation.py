"""Explanation of a point of an image: the points of a data set that make it foreground or not.

Source: representer point selection, supplement. The activation of the point is the sum of the
representer values of all points of the data set.

Shapes: h x w cells of an image. Points and boxes are in pixels of the original image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import to_xywh


@dataclass(frozen=True)
class Cell:
    """Cell of a map. Attributes: row, column: its place.  box: (4,) XYXY, clipped to the image."""

    row: int
    column: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class MappedImage:
    """Image with maps of it.

    Attributes:
        image_id, name: those of its record; the name is relative to the folder of the data set.
        image: (H, W, 3) uint8.
        maps: name -> (h, w).
        extent: (width, height) that the grid covers, in pixels of the image; padding lies outside.
    """

    image_id: Any
    name: str
    image: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float64]]
    extent: tuple[float, float]

    @property
    def grid_size(self) -> tuple[int, int]:
        """Grid size (h, w), in cells."""
        h, w = next(iter(self.maps.values())).shape
        return h, w

    def cell(self, number: int) -> Cell:
        """Return the cell of a place in row-major order."""
        (h, w), (height, width) = self.grid_size, self.image.shape[:2]
        (row, column), sx, sy = divmod(number, w), self.extent[0] / w, self.extent[1] / h
        right, bottom = min((column + 1) * sx, width), min((row + 1) * sy, height)
        return Cell(row, column, (column * sx, row * sy, right, bottom))

    def cell_at(self, point: tuple[float, float]) -> Cell:
        """Return the cell of a point (x, y). Raises: UserError if it is outside of the image."""
        (h, w), (height, width), (x, y) = self.grid_size, self.image.shape[:2], point
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(
                f"point {x:g},{y:g} is outside of {self.name}, {width} x {height} pixels; x is "
                f"from 0 to {width - 1}, y from 0 to {height - 1}"
            )
        return self.cell(int(y * h / self.extent[1]) * w + int(x * w / self.extent[0]))


@dataclass(frozen=True)
class ExplainingPoint:
    """Point of the data set.

    Attributes:
        image_id: its image in `Explanation.images`.
        similarity, importance, value: see `PointValues`.
    """

    image_id: Any
    cell: Cell
    similarity: float
    importance: float
    value: float


@dataclass(frozen=True)
class Explanation:
    """Activation of a point and its largest parts.

    Attributes:
        info: everything that the numbers depend on, and counts of images and points.
        tested: the image of the point, with its "heatmap" in [0, 1].
        point: (x, y).
        cell: the cell of the point.
        activation: w . d, not normalised: `excitatory` + `inhibitory`.
        excitatory, inhibitory: sum of the positive and of the negative values.
        highest, lowest: points of the highest and of the lowest values, the extreme one first.
        images: image id -> image of these points with "similarity", "importance" and "value".
    """

    info: dict[str, Any]
    tested: MappedImage
    point: tuple[float, float]
    cell: Cell
    activation: float
    excitatory: float
    inhibitory: float
    highest: list[ExplainingPoint]
    lowest: list[ExplainingPoint]
    images: Mapping[Any, MappedImage]

    def to_json(self) -> dict[str, Any]:
        """Return the content of explanation.json, without images and maps."""
        height, width = self.tested.image.shape[:2]
        return {
            "info": self.info,
            "image": {
                "image_id": self.tested.image_id,
                "file_name": self.tested.name,
                "width": width,
                "height": height,
            },
            "point": list(self.point),
            "cell": _cell_json(self.cell),
            "heatmap": float(self.tested.maps["heatmap"][self.cell.row, self.cell.column]),
            "activation": self.activation,
            "excitatory": self.excitatory,
            "inhibitory": self.inhibitory,
            "top": [self._point_json(point) for point in self.highest],
            "bottom": [self._point_json(point) for point in self.lowest],
        }

    def _point_json(self, point: ExplainingPoint) -> dict[str, Any]:
        return {
            "image_id": point.image_id,
            "file_name": self.images[point.image_id].name,
            "cell": _cell_json(point.cell),
            "similarity": point.similarity,
            "importance": point.importance,
            "value": point.value,
        }

    def to_text(self) -> str:
        """Return the activation, and a table of the points."""
        rows = [
            (kind, self.images[p.image_id].name, f"{p.cell.row}, {p.cell.column}")
            + (f"{p.similarity:.4f}", f"{p.importance:+.4f}", f"{p.value:+.4f}")
            for kind, points in (("top", self.highest), ("bottom", self.lowest))
            for p in points
        ]
        heads = ("", "image", "row, column", "similarity", "importance", "value")
        table = tabulate(rows, heads, tablefmt="plain", disable_numparse=True)
        return (
            f"activation {self.activation:+.4g} = {self.excitatory:+.4g} excitatory "
            f"{self.inhibitory:+.4g} inhibitory, of {self.info['base_points']} points\n{table}"
        )


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {"row": cell.row, "column": cell.column, "bbox": to_xywh(cell.box)}
