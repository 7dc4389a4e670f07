"""Steps from the masks of a rule to masks of the original image; only here the image is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from boxrefine_d2.structures import Window, mask_to_box

from .resizing import Upsampling, grid_map_to_input, grid_mask_to_input, input_mask_to_image

# (image (H, W, 3) uint8 RGB, masks (N, H, W)) -> masks bool; a rejected mask becomes empty
MaskRefinement = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class GridMasks:
    """Masks of one image, as plain arrays that can go to another process.

    Attributes:
        masks: (N, h, w) bool on the grid or a finer one, or float32 in [0, 1] for a refinement that
            reads soft masks; None for a rule without masks.
        boxes: (N, 4) float64, XYXY, half-open, in pixels of the window.
        scores: (N,).
        strides: (sy, sx), pixels of the input per cell.
        input_size: (H, W) of the input before padding.
        image_size: (H, W) of the original image.
        image: (H, W, 3) uint8 RGB, the input, if a refinement reads it; None otherwise.
        window: part of the image that the input shows; None is the whole image.
    """

    masks: np.ndarray | None
    boxes: np.ndarray
    scores: np.ndarray
    strides: tuple[float, float]
    input_size: tuple[int, int]
    image_size: tuple[int, int]
    image: np.ndarray | None
    window: Window | None = None


@dataclass(frozen=True)
class ImageMasks:
    """Boxes, scores and masks of one image, in pixels of the original image.

    Attributes:
        boxes: (N, 4) XYXY, half-open.
        scores: (N,).
        masks: (N, H, W) bool, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True)
class MaskSteps:
    """Steps that follow a discovery rule and change its masks.

    Attributes:
        refine: refinement that reads the image at the size of the network's input; None leaves the
            masks unchanged.
        reads_soft_masks: whether `refine` reads the rule's soft masks, float32 in [0, 1], in place
            of its masks.
        require: function that raises a UserError if a package that `refine` needs is missing.
        upsampling: rule of resizing from the input to the image.
        boxes_from_masks: whether the boxes are those of the final masks instead of the rule's.
    """

    refine: MaskRefinement | None = None
    reads_soft_masks: bool = False
    require: Callable[[], Any] | None = None
    upsampling: Upsampling = "nearest"
    boxes_from_masks: bool = False

    def __call__(self, grid_masks: GridMasks) -> ImageMasks:
        """Return the masks of one image in its own frame, without rejected and empty masks."""
        window, image_size = grid_masks.window, grid_masks.image_size
        found = self._in_window(grid_masks, window.size if window else image_size)
        if window is None:
            return found
        masks = None if found.masks is None else window.masks_to_image(found.masks, image_size)
        return ImageMasks(window.boxes_to_image(found.boxes), found.scores, masks)

    def _in_window(self, grid_masks: GridMasks, size: tuple[int, int]) -> ImageMasks:
        """Return the masks in the frame of the window. Args: size: (H, W) of the window."""
        if grid_masks.masks is None:
            return ImageMasks(grid_masks.boxes, grid_masks.scores, None)
        to_input = grid_map_to_input if self.reads_soft_masks else grid_mask_to_input
        on_input = [
            to_input(m, grid_masks.strides, grid_masks.input_size) for m in grid_masks.masks
        ]
        masks = np.array(on_input, dtype=grid_masks.masks.dtype)
        masks = masks.reshape(-1, *grid_masks.input_size)
        if self.refine is not None and len(masks) and grid_masks.image is not None:
            masks = self.refine(grid_masks.image, masks)
        kept = masks.any(axis=(1, 2))
        on_image = [input_mask_to_image(m, size, self.upsampling) for m in masks[kept]]
        masks = np.array(on_image, dtype=bool).reshape(-1, *size)
        boxes = grid_masks.boxes[kept]
        if self.boxes_from_masks:
            boxes = mask_to_box(torch.from_numpy(masks)).numpy().astype(np.float64)
        return ImageMasks(boxes, grid_masks.scores[kept], masks)
