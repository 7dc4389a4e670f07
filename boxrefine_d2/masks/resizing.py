"""Masks from the grid to the input, and from the input to the image; the frames are those of `structures.box_frames`."""

from typing import Literal

import numpy as np
from PIL import Image

from boxrefine_d2.errors import check_choice

Upsampling = Literal["nearest", "bicubic"]
RULES = ("nearest", "bicubic")


def grid_mask_to_input(
    mask: np.ndarray, strides: tuple[float, float], input_size: tuple[int, int]
) -> np.ndarray:
    """Every pixel of the unpadded input takes its cell.

    Args:
        mask: (h, w) bool.
        strides: (sy, sx) of the FeatureMap, input pixels per cell; the grid covers a whole number of pixels.
        input_size: (H, W) before padding.
    Returns: (H, W) bool; empty where the mask has cells in the padding only.
    Raises: ValueError if the grid is smaller than the input.
    """
    (h, w), (sy, sx), (height, width) = mask.shape, strides, input_size
    padded = round(h * sy), round(w * sx)
    if not (0 < height <= padded[0] and 0 < width <= padded[1]):
        raise ValueError(
            f"an input of {height} x {width} does not fit a grid of {h} x {w} cells of {sy} x {sx} pixels"
        )
    return _nearest(mask, padded)[:height, :width]


def input_mask_to_image(
    mask: np.ndarray, image_size: tuple[int, int], rule: Upsampling
) -> np.ndarray:
    """A mask in the pixels of the original image.

    Args:
        mask: (H, W) bool, in pixels of the input without its padding.
        image_size: (H, W) of the image.
        rule: "nearest", or "bicubic" as MaskCut (arXiv:2301.11320, code): antialiased, then what is above half of the
            largest value, so that small masks survive a reduction.
    Returns: (H, W) bool.
    Raises: UserError for another rule.
    """
    check_choice("mask resizing", rule, RULES)
    if rule == "nearest":
        return _nearest(mask, image_size)
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    resized = np.asarray(grey.resize(image_size[::-1], Image.Resampling.BICUBIC))
    in_image: np.ndarray = 2 * resized.astype(np.int64) > resized.max()
    return in_image


def _nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel i takes i * old // new, torch's and OpenCV's "nearest", in whole numbers.

    So with whole strides the way over the input is the way from the grid to the image.
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, mask.shape, strict=True))
    nearest: np.ndarray = mask[rows[:, None], columns]
    return nearest
