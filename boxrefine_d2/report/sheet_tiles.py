"""The tiles of a contact sheet: one picture each, with the boxes and masks of every file."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from boxrefine_d2.pseudo_labels.export import LabelledImage, mask_of

from .compared_files import ComparedImage
from .drawing import drawn_box
from .mask_outline import mask_path
from .pictures import SHOWN_SIDE, photo_uri
from .rendering import number, render

LETTERS = "ABCDE"  # of the files; sheet/page.css has a colour and a kind of line for each


def tile(image: ComparedImage, picture: np.ndarray) -> Markup:
    """Return the card of one image.

    Args: picture: (H, W, 3) uint8.
    Raises: UserError for a mask that cannot be decoded.
    """
    several = len(image.found) > 1
    badge = image.disagreement if several else image.score
    path = PurePosixPath(image.name)
    height, width = picture.shape[:2]
    return render(
        "sheet/tile.html",
        name=image.name,
        folder=str(path.parent) if path.parent.name else "",
        base=path.name,
        badge_is="disagreement" if several else "top score",
        badge="–" if badge is None else number(badge, digits=2 if several else 3),
        width=width,
        height=height,
        uri=photo_uri(picture),
        files=[_in_file(index, found, width, height) for index, found in enumerate(image.found)],
        letters=LETTERS,
    )


def _in_file(index: int, found: LabelledImage | None, width: int, height: int) -> dict[str, Any]:
    """Return what one file has of an image: boxes and masks as they are drawn, and how many, in words."""
    if found is None or not found.boxes:
        nothing = "not listed" if found is None else "no box"
        return {"index": index, "boxes": [], "masks": [], "counts": nothing}
    styles = ["top", *["further"] * (len(found.boxes) - 1)]
    masks = [box for box in found.boxes if box.segmentation]
    counts = [_count(len(found.boxes), "box", "boxes")]
    counts += [_count(len(masks), "mask", "masks")] if masks else []
    return {
        "index": index,
        "boxes": [
            drawn_box(style, torch.tensor(box.xyxy), width, height)
            for style, box in zip(styles, found.boxes, strict=True)
        ],
        "masks": [mask_path(mask_of(box, found), SHOWN_SIDE) for box in masks],
        "score": found.boxes[0].score,
        "counts": ", ".join(counts),
    }


def _count(number_of: int, one: str, several: str) -> str:
    return f"{number_of} {one if number_of == 1 else several}"
