"""Crops of boxes, as CLIP reads them.

Shapes: S x S pixels of a crop; boxes are XYXY, half-open, in pixels of the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from boxrefine_d2.data.images import read_image
from boxrefine_d2.masks.coding import decode_mask

GREY = (124, 116, 104)  # the mean colour of ImageNet, outside of the image and of a mask
OUTSIDE = ("keep", "grey", "both")


@dataclass(frozen=True)
class CropForm:
    """Form of crops.

    Attributes:
        side: S.
        margin: pixels around the box, as a share of its longer side.
        outside: what becomes of the pixels outside of a mask: "keep" them, make them "grey", or
            make a crop of "both" kinds. A box without a mask has the first kind.
    """

    side: int
    margin: float = 0.1
    outside: str = "both"


class CropMapper:
    """Mapper from an image to the crops of its boxes.

    Args: labels: image id -> annotations of the image, with `bbox` [x, y, w, h] in pixels.
    """

    def __init__(self, labels: Mapping[Any, Sequence[Mapping[str, Any]]], form: CropForm):
        self._labels, self._form = labels, form

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (S, S) for every image."""
        return self._form.side, self._form.side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return {"image_id", "file_name", "height", "width", "crops"}.

        "crops" is (N, M, 3, S, S) uint8 RGB, "height" and "width" are those of the image.

        M is 2 for crops of both kinds, otherwise 1.

        Raises: ImageReadError for a file that cannot be read.
        """
        image, image_id = read_image(record["file_name"]), record["image_id"]
        crops = [crops_of(image, label, self._form) for label in self._labels[image_id]]
        return {
            "image_id": image_id,
            "file_name": record["file_name"],
            "height": image.shape[0],
            "width": image.shape[1],
            "crops": torch.stack(crops),
        }


def crops_of(image: np.ndarray, label: Mapping[str, Any], form: CropForm) -> Tensor:
    """Return the crops of a box, (M, 3, S, S) uint8.

    A crop is square, with the box in its centre; grey fills what lies outside of the image.

    Args: image: (H, W, 3) uint8.
    """
    x, y, width, height = label["bbox"]
    side = max(width, height) * (1 + 2 * form.margin)
    corner = x + width / 2 - side / 2, y + height / 2 - side / 2
    segmentation = label.get("segmentation")
    kinds = ("keep", "grey") if form.outside == "both" else (form.outside,)
    shown = []
    for kind in kinds:
        pixels = image
        if kind == "grey" and segmentation:
            mask = decode_mask(segmentation, image.shape[:2]).astype(bool)
            pixels = np.where(mask[..., None], image, np.array(GREY, np.uint8))
        shown.append(_square(pixels, corner, side, form.side))
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)


def _square(image: np.ndarray, corner: tuple[float, float], side: float, output: int) -> np.ndarray:
    """Return the square of an image, resized to `output` pixels (bicubic, antialiased)."""
    left, top = (int(np.floor(value)) for value in corner)
    right, bottom = (int(np.ceil(value + side)) for value in corner)
    inner = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    canvas = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    rows, columns = max(-top, 0), max(-left, 0)
    canvas[rows : rows + inner.shape[0], columns : columns + inner.shape[1]] = inner
    return np.array(Image.fromarray(canvas).resize((output, output), Image.Resampling.BICUBIC))
