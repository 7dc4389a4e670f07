"""Pseudo-labels of a source: a box and a mask with a class for each image.

Shapes: S x S pixels of the input, H x W pixels of the image.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import boxrefine_d2
from boxrefine_d2.data.pseudo_categories import OBJECT_CATEGORIES, OBJECT_ID, SOFTWARE, Category
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.structures import ResizedCrop, to_xywh

from .class_model import ClassAnswer

BOXES_FILE = "boxes.json"
UNREAD = "it could not be read; the log says why"


def label_of_object(
    x: Mapping[str, Any], answer: ClassAnswer, component: np.ndarray, box: np.ndarray
) -> dict[str, Any]:
    """Return the image and the label of its object, as a pseudo-label file lists them.

    The class, contiguous from 0, is that of the image where it is known, or the predicted one; None
    where the model has no classes. Without an object, the label covers the input.

    Args:
        x: result of `ClassTestMapper`.
        component: (S, S) bool, pixels of the object.
        box: (4,) XYXY, half-open, in pixels of the image.
    Returns: {"image": image, "label": label without its category, "class": class}.
    """
    height, width = x["height"], x["width"]
    pixels = component if component.any() else np.ones_like(component)
    [mask] = encode_masks(mask_of_image(pixels, x["frame"])[None])
    predicted = answer.labels[0] if answer.labels else None
    return {
        "image": {
            "id": x["image_id"],
            "file_name": x["relative_name"],
            "width": width,
            "height": height,
        },
        "label": {
            "image_id": x["image_id"],
            "bbox": to_xywh(box.tolist()),
            "score": answer.score,
            "segmentation": mask,
        },
        "class": x.get("image_label", predicted),
    }


def mask_of_image(mask: np.ndarray, frame: ResizedCrop) -> np.ndarray:
    """Return a mask (S, S) of the input as a mask (H, W) of the image; it is False outside."""
    rows, columns = frame.image_size
    whole = Image.fromarray(whole_map(mask, frame))
    return np.array(whole.resize((columns, rows), Image.Resampling.NEAREST))


def whole_map(heatmap: np.ndarray, frame: ResizedCrop) -> np.ndarray:
    """Return a map of the crop (S, T) in the frame of the resized image; it is 0 outside."""
    if frame.size == frame.resized:
        return heatmap
    whole = np.zeros(frame.resized, heatmap.dtype)
    (height, width), top, left = frame.size, frame.top, frame.left
    whole[top : top + height, left : left + width] = heatmap
    return whole


def write_box_labels(
    path: Path,
    labels: Sequence[Mapping[str, Any]],
    *,
    records: Sequence[Mapping[str, Any]],
    categories: Mapping[int, str],
    info: Mapping[str, Any],
    failures: Mapping[str, str],
) -> None:
    """Write the pseudo-label file of a source.

    The categories are the classes if every label has one, or else "object".

    Args:
        labels: results of `label_of_object`.
        records: all images; those without a label are listed as failed.
        categories: id -> name of the classes, in order.
        info: description of the model and the source.
        failures: file name -> reason.
    """
    classes, ids = all(label["class"] is not None for label in labels), list(categories)
    named: Sequence[Category] = [{"id": own, "name": name} for own, name in categories.items()]
    read = {label["image"]["id"] for label in labels}
    failed = [
        {
            "file_name": record.get("relative_name", record["file_name"]),
            "reason": failures.get(record["file_name"], UNREAD),
        }
        for record in records
        if record["image_id"] not in read
    ]
    write_pseudo_labels(
        path,
        images=[label["image"] for label in labels],
        annotations=[
            label["label"] | {"category_id": ids[label["class"]] if classes else OBJECT_ID}
            for label in labels
        ],
        categories=named if classes and named else OBJECT_CATEGORIES,
        info={
            **info,
            **SOFTWARE,
            "version": boxrefine_d2.__version__,
            "images_asked": len(records),
            "images_failed": sorted(failed, key=lambda failure: failure["file_name"]),
        },
    )
