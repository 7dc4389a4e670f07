"""Checks of the images and annotations of a pseudo-label file."""

from collections.abc import Collection
from typing import Any

from boxrefine_d2.files.values import (
    is_file_name,
    is_id,
    is_number,
    is_whole,
    shown_value,
    size_problem,
)

from .datasets.coco import xyxy_of
from .pseudo_categories import OBJECT_ID


def image_problem(image: dict[str, Any]) -> str | None:
    """Return the problem with an image entry, or None if it is valid. Its size may be unknown."""
    image_id, name = image.get("id"), image.get("file_name")
    if not is_id(image_id):
        return f"an image has the id {shown_value(image_id)}; it must be an integer or a string"
    if not isinstance(name, str):
        return f"image {image_id!r} has no 'file_name'"
    if name and not is_file_name(name):
        return f"image {image_id!r} has the file_name {shown_value(name)}, which no file can have"
    problem = size_problem(image)
    return f"image {image_id!r} {problem}" if problem else None


def label_problem(
    entry: dict[str, Any], known: set[int | str], categories: Collection[int] = (OBJECT_ID,)
) -> str | None:
    """Return the problem with an annotation, or None if it is valid.

    This function does not decode masks. The users of a mask check it.

    Args: known: ids of the images of the file.  categories: ids of its categories.
    """
    image_id = entry.get("image_id")
    if not is_id(image_id) or image_id not in known:
        return f"has image_id {shown_value(image_id)}, and no image has this id"
    box = xyxy_of(entry.get("bbox"))
    if box is None or box[2] <= box[0] or box[3] <= box[1]:
        return (
            f"has the bbox {shown_value(entry.get('bbox'))}; "
            "it must be [x, y, w, h] with w and h above 0"
        )
    category_id = entry.get("category_id", OBJECT_ID)
    if not is_whole(category_id) or category_id not in categories:
        only = len(categories) == 1
        expected = "it must be 1" if only else "the file has no category of this id"
        return f"has category_id {shown_value(category_id)}; {expected}"
    score, area = entry.get("score", 1.0), entry.get("area")
    if not is_number(score):
        return f"has the score {shown_value(score)}; it must be a finite number"
    if area is not None and not is_number(area):
        return f"has the area {shown_value(area)}; it must be a finite number"
    segmentation = entry.get("segmentation")
    if segmentation is not None and not isinstance(segmentation, (dict, list)):
        return "has a segmentation that is neither RLE nor polygons"
    return None
