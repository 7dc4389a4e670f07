"""A pseudo-label file image by image: chosen boxes, best first, inside their image."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boxrefine_d2.data.datasets.coco import xyxy_of
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import is_number, is_whole, shown_value

_DIGITS = 6  # of a coordinate behind the point, in files of text
_MOST_SIDE = 2**31 - 1  # pixels; no format of images has room for more
_ROUNDING = 1e-3  # pixels; a box that is cut by no more was rounded, not wrong

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledBox:
    """One box of one image.

    Attributes:
        xyxy: half-open, pixels of the original image, inside it.
        score: higher is better; 1 where the file has none.
        segmentation: COCO's RLE or polygons; None without a mask.
        area: of the mask, as the file has it, or of the box; pixels.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    segmentation: Any
    area: float


@dataclass(frozen=True)
class LabelledImage:
    """One image with its boxes, best first; of equal scores the first in the file comes first.

    `file_name` is relative to the data set's folder, POSIX.
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
    """All images of a pseudo-label file, in its order, with the chosen boxes.

    Boxes that reach beyond their image are cut to it; those that lie outside are left out. Both are counted in a
    warning, rounding apart.

    Args:   source: the file, for messages.  min_score: boxes below it are left out.
            max_boxes: the best so many of each image.
    Raises: UserError for an image without a size, or a choice that is none.
    """
    _check_choice(min_score, max_boxes)
    found: dict[int | str, list[LabelledBox]] = {image["id"]: [] for image in labels.images}
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
            found[annotation["image_id"]].append(box)
    if cut:
        logger.warning(
            "%s: %d boxes reach beyond their image and were cut to it; %d lie outside and were left out",
            *(source, cut, outside),
        )
    return [
        LabelledImage(
            image["id"],
            image["file_name"],
            *sizes[image["id"]],
            sorted(found[image["id"]], key=lambda box: -box.score)[:max_boxes],
        )
        for image in labels.images
    ]


def decimal(number: float) -> str:
    """A coordinate as text, to a millionth of a pixel, without zeros that say nothing.

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
    """(width, height)."""
    width, height = image.get("width"), image.get("height")
    if (
        is_whole(width)
        and is_whole(height)
        and min(width, height) >= 1
        and max(width, height) <= _MOST_SIDE
    ):
        return width, height
    raise UserError(
        f"{source}: image {image['file_name']!r} has width {shown_value(width)} and height {shown_value(height)}; whole "
        f"numbers from 1 to {_MOST_SIDE} are needed"
    )


def _area(value: object) -> float | None:
    """A number that can be one; files of other tools have anything there."""
    return value if is_number(value, float(_MOST_SIDE) ** 2) and value > 0 else None


def _box(annotation: Mapping[str, Any], size: tuple[int, int]) -> tuple[LabelledBox | None, float]:
    """The box inside the image, None if nothing of it is, and by how many pixels a side moved at most."""
    corners = xyxy_of(annotation["bbox"])
    assert corners is not None  # as `read_pseudo_labels` has checked
    inside = [min(max(value, 0.0), float(size[i % 2])) for i, value in enumerate(corners)]
    moved = max(abs(new - old) for new, old in zip(inside, corners, strict=True))
    x1, y1, x2, y2 = inside
    if x2 <= x1 or y2 <= y1:
        return None, moved
    segmentation = annotation.get("segmentation")
    area = _area(annotation.get("area")) if segmentation else None
    score = float(annotation.get("score", 1.0))
    return (
        LabelledBox((x1, y1, x2, y2), score, segmentation, area or (x2 - x1) * (y2 - y1)),
        moved,
    )
