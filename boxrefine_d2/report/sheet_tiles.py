"""Tiles of a contact sheet: one image each, with the boxes and masks of every file."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from boxrefine_d2.pseudo_labels.export import LabelledImage, mask_of

from .compared_files import ComparedImage
from .drawing import drawn_box
from .figures import SHOWN_SIDE, photo_uri
from .mask_outline import mask_path
from .rendering import number, render

LETTERS = "ABCDE"  # names of the files; sheet/page.css has a colour and a kind of line for each


def tile(image: ComparedImage, image_pixels: np.ndarray) -> Markup:
    """Return the card of one image.

    Args: image_pixels: (H, W, 3) uint8.
    Raises: UserError for a mask that cannot be decoded.
    """
    several = len(image.found) > 1
    badge = image.disagreement if several else image.score
    path = PurePosixPath(image.name)
    height, width = image_pixels.shape[:2]
    return render(
        "sheet/tile.html",
        name=image.name,
        folder=str(path.parent) if path.parent.name else "",
        base=path.name,
        badge_is="disagreement" if several else "top score",
        badge="–" if badge is None else number(badge, digits=2 if several else 3),
        width=width,
        height=height,
        uri=photo_uri(image_pixels),
        files=[
            _in_file(index, labelled, width, height) for index, labelled in enumerate(image.found)
        ],
        letters=LETTERS,
    )


def _in_file(index: int, labelled: LabelledImage | None, width: int, height: int) -> dict[str, Any]:
    """Return an image in one file: its boxes and masks for drawing, and their number in words."""
    if labelled is None or not labelled.boxes:
        nothing = "not listed" if labelled is None else "no box"
        return {"index": index, "boxes": [], "masks": [], "counts": nothing}
    styles = ["top", *["further"] * (len(labelled.boxes) - 1)]
    masks = [box for box in labelled.boxes if box.segmentation]
    counts = [_count(len(labelled.boxes), "box", "boxes")]
    counts += [_count(len(masks), "mask", "masks")] if masks else []
    return {
        "index": index,
        "boxes": [
            drawn_box(style, torch.tensor(box.xyxy), width, height)
            for style, box in zip(styles, labelled.boxes, strict=True)
        ],
        "masks": [mask_path(mask_of(box, labelled), SHOWN_SIDE) for box in masks],
        "score": labelled.boxes[0].score,
        "counts": ", ".join(counts),
    }


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"
