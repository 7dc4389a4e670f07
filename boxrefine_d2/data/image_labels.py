"""Class of an image: the label that its source gives, or the one class of its objects."""

from collections.abc import Mapping
from typing import Any

from boxrefine_d2.errors import UserError


def known_label(record: Mapping[str, Any]) -> int | None:
    """Return the class of an image, or None if it has none.

    The class is `image_label` or, without one, the only class among the record's annotations.
    Crowds do not count.
    """
    if "image_label" in record:
        return int(record["image_label"])
    classes = classes_of_objects(record)
    return classes[0] if len(classes) == 1 else None


def label_of(record: Mapping[str, Any]) -> int:
    """Return the class of an image, contiguous from 0.

    Raises: UserError that names the image, if `known_label` finds no class.
    """
    label = known_label(record)
    if label is None:
        classes = len(classes_of_objects(record))
        kinds = f"objects of {classes} classes" if classes else "no objects"
        name = record.get("relative_name", record["file_name"])
        raise UserError(
            f"image {name!r} has no class label of its own and {kinds}; add +one_class to the data "
            "set to keep the images whose objects all have one class, or name classes:DIR, a "
            "folder per class"
        )
    return label


def classes_of_objects(record: Mapping[str, Any]) -> list[int]:
    """Return the sorted categories of the record's annotations. Crowds do not count."""
    objects = record.get("annotations", ())
    return sorted({item["category_id"] for item in objects if not item.get("iscrowd", 0)})
