"""The images of a pseudo-label file, each with its chosen boxes, best first, clipped to it."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boxrefine_d2.data.datasets.coco import xyxy_of
from boxrefine_d2.data.pseudo_categories import OBJECT_ID
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import is_number, is_whole, shown_value

_DIGITS = 6  # decimal places of a coordinate in text files
_MOST_SIDE = 2**31 - 1  # pixels; no image format allows longer sides
_ROUNDING = 1e-3  # pixels; boxes clipped by at most this much were rounded, not wrong

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledBox:
    """One box of one image.

    Attributes:
        xyxy: corners, half-open, in pixels of the original image, inside it.
        score: confidence; higher is better; 1 if the file has none.
        segmentation: COCO's RLE or polygons; None without a mask.
        area: area of the mask, as the file states it, or else of the box, in pixels.
        category_id: id of its category.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    segmentation: Any
    area: float
    category_id: int = OBJECT_ID


@dataclass(frozen=True)
class LabelledImage:
    """One image with its boxes, best first; ties keep the order of the file.

    Attributes: file_name: POSIX path relative to the data set's folder.  width, height: pixels.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    boxes: list[LabelledBox]


def labelled_images(
    labels: PseudoLabels,
    source: str,
    *,
    min_score: float | None = None,
    max_boxes: int | None = None,
) -> list[LabelledImage]:
    """Return all images of a pseudo-label file, in file order, with their chosen boxes.

    Boxes that reach beyond their image are clipped to it. Boxes outside their image are left out. A
    warning counts both; it ignores rounding errors.

    Args:   source: path of the file, for messages.  min_score: boxes of lower scores are left out.
            max_boxes: most boxes per image; those of the highest scores stay.
    Raises: UserError for an image without a valid size, and for an invalid choice.
    """
    _check_choice(min_score, max_boxes)
    boxes: dict[int | str, list[LabelledBox]] = {image["id"]: [] for image in labels.images}
    sizes = {image["id"]: _size(image, source) for image in labels.images}
    cut = outside = 0
    for annotation in labels.annotations:
        if min_score is not None and annotation.get("score", 1.0) < min_score:
            continue
        box, most = _box(annotation, sizes[annotation["image_id"]])
        cut += most > _ROUNDING
        if box is None:
            outside += 1
        else:
            boxes[annotation["image_id"]].append(box)
    if cut:
        logger.warning(
            "%s: %d boxes reach beyond their image and were cut to it; %d lie outside and were "
            "left out",
            *(source, cut, outside),
        )
    return [
        LabelledImage(
            image["id"],
            image["file_name"],
            *sizes[image["id"]],
            sorted(boxes[image["id"]], key=lambda box: -box.score)[:max_boxes],
        )
        for image in labels.images
    ]


def decimal(number: float) -> str:
    """Return a coordinate as text, to a millionth of a pixel, without trailing zeros.

    >>> decimal(12.0), decimal(1 / 3), decimal(-1e-9)
    ('12', '0.333333', '0')
    """
    rounded = round(number, _DIGITS) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:.{_DIGITS}f}".rstrip("0").rstrip(".")


def _check_choice(min_score: float | None, max_boxes: int | None) -> None:
    if min_score is not None and not math.isfinite(min_score):
        raise UserError(f"the lowest score is {min_score}; give a finite number")
    if max_boxes is not None and max_boxes < 1:
        raise UserError(f"{max_boxes} boxes an image were asked for; give 1 or more")


def _size(image: Mapping[str, Any], source: str) -> tuple[int, int]:
    """Return the image's (width, height) in pixels. Raises: UserError if they are invalid."""
    width, height = image.get("width"), image.get("height")
    if (
        is_whole(width)
        and is_whole(height)
        and min(width, height) >= 1
        and max(width, height) <= _MOST_SIDE
    ):
        return width, height
    raise UserError(
        f"{source}: image {image['file_name']!r} has width {shown_value(width)} and height "
        f"{shown_value(height)}; whole numbers from 1 to {_MOST_SIDE} are needed"
    )


def _area(value: object) -> float | None:
    """Return a plausible area, or None; other tools write arbitrary values there."""
    return value if is_number(value, float(_MOST_SIDE) ** 2) and value > 0 else None


def _box(annotation: Mapping[str, Any], size: tuple[int, int]) -> tuple[LabelledBox | None, float]:
    """Return the box clipped to the image, and the largest move of a side in pixels.

    The box is None if it lies outside the image.
    """
    corners = xyxy_of(annotation["bbox"])
    assert corners is not None  # `read_pseudo_labels` has checked it
    inside = [min(max(value, 0.0), float(size[i % 2])) for i, value in enumerate(corners)]
    moved = max(abs(new - old) for new, old in zip(inside, corners, strict=True))
    x1, y1, x2, y2 = inside
    if x2 <= x1 or y2 <= y1:
        return None, moved
    segmentation = annotation.get("segmentation")
    area = _area(annotation.get("area")) if segmentation else None
    score = float(annotation.get("score", 1.0))
    return (
        LabelledBox(
            (x1, y1, x2, y2),
            score,
            segmentation,
            area or (x2 - x1) * (y2 - y1),
            annotation.get("category_id", OBJECT_ID),
        ),
        moved,
    )
