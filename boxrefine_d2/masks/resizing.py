"""Resizing of masks, from grid to input and from input to image (see `structures.box_frames`)."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from boxrefine_d2.errors import check_choice

Upsampling = Literal["nearest", "bicubic"]
RULES = ("nearest", "bicubic")


def grid_mask_to_input(
    mask: np.ndarray, strides: tuple[float, float], input_size: tuple[int, int]
) -> np.ndarray:
    """Return a mask in input pixels; every pixel of the unpadded input takes its cell's value.

    Args:
        mask: (h, w) bool.
        strides: (sy, sx) of the FeatureMap, input pixels per cell; the padded input has a whole
            number of pixels.
        input_size: (H, W) before padding.
    Returns: (H, W) bool; empty if all cells of the mask are in the padding.
    Raises: ValueError if the grid is smaller than the input.
    """
    (h, w), (sy, sx), (height, width) = mask.shape, strides, input_size
    padded = round(h * sy), round(w * sx)
    if not (0 < height <= padded[0] and 0 < width <= padded[1]):
        raise ValueError(
            f"an input of {height} x {width} does not fit a grid of {h} x {w} cells "
            f"of {sy} x {sx} pixels"
        )
    return _nearest(mask, padded)[:height, :width]


def grid_map_to_input(
    values: np.ndarray, strides: tuple[float, float], input_size: tuple[int, int]
) -> np.ndarray:
    """Return a soft mask in input pixels, bilinear; the outer cells' values lie on the border.

    The frame is that of `grid_mask_to_input`. The rule is that of AFA's code (arXiv:2203.02664),
    `align_corners=True` in PyTorch.

    Args:
        values: (h, w) float32.
        strides, input_size: see `grid_mask_to_input`.
    Returns: (H, W) float32.
    """
    padded = [round(n * stride) for n, stride in zip(values.shape, strides, strict=True)]
    grid = torch.from_numpy(values)[None, None]
    resized = F.interpolate(grid, size=padded, mode="bilinear", align_corners=True)[0, 0]
    pixels: np.ndarray = resized[: input_size[0], : input_size[1]].numpy()
    return pixels


def input_mask_to_image(
    mask: np.ndarray, image_size: tuple[int, int], rule: Upsampling
) -> np.ndarray:
    """Return a mask in pixels of the original image.

    Args:
        mask: (H, W) bool, in pixels of the input without its padding.
        image_size: (H, W) of the image.
        rule: "nearest", or "bicubic" as in MaskCut (arXiv:2301.11320, code): antialiased, then the
            pixels above half of the largest value. That threshold lets small masks survive a
            reduction.
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
    """Return the resized mask; pixel i takes i * old // new, as "nearest" of torch and OpenCV.

    The indices are whole numbers. With whole strides, going through the input therefore gives the
    same mask as going from the grid to the image directly.
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, mask.shape, strict=True))
    nearest: np.ndarray = mask[rows[:, None], columns]
    return nearest
