"""How a rule's masks become masks of the original image: what needs the picture is done here, the rule sees a map only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from boxrefine_d2.structures import mask_to_box

from .resizing import Upsampling, grid_mask_to_input, input_mask_to_image

# (image (H, W, 3) uint8 RGB, masks (N, H, W) bool) -> masks; empty where one is rejected
MaskRefinement = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class GridMasks:
    """The masks of one image, as plain arrays that may go to another process.

    Attributes:
        masks: (N, h, w) bool on the grid or a finer one, or None of a rule without masks.  boxes: (N, 4) float64, XYXY, half-open, in pixels of the image.
        scores: (N,).  strides: (sy, sx), pixels of the input per cell.  input_size: (H, W) before padding.
        image_size: (H, W) of the original image.
        picture: (H, W, 3) uint8 RGB, the input, where a refinement reads it; else None.
    """

    masks: np.ndarray | None
    boxes: np.ndarray
    scores: np.ndarray
    strides: tuple[float, float]
    input_size: tuple[int, int]
    image_size: tuple[int, int]
    picture: np.ndarray | None


@dataclass(frozen=True)
class ImageMasks:
    """Boxes (N, 4) XYXY half-open, scores (N,) and masks (N, H, W) bool or None, in pixels of the original image."""

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True)
class MaskSteps:
    """What is done to masks after the rule.

    Attributes:
        refine: reads the picture, at the size of the network's input; None leaves the masks as they are.
        require: raises a UserError where a package that `refine` needs is missing.
        upsampling: from the input to the image.
        boxes_from_masks: the box is that of the final mask, instead of the rule's.
    """

    refine: MaskRefinement | None = None
    require: Callable[[], Any] | None = None
    upsampling: Upsampling = "nearest"
    boxes_from_masks: bool = False

    def __call__(self, found: GridMasks) -> ImageMasks:
        """The masks of one image in its own frame; rejected and empty ones are left out."""
        if found.masks is None:
            return ImageMasks(found.boxes, found.scores, None)
        on_input = [grid_mask_to_input(m, found.strides, found.input_size) for m in found.masks]
        masks = np.array(on_input, dtype=bool).reshape(-1, *found.input_size)
        if self.refine is not None and len(masks) and found.picture is not None:
            masks = self.refine(found.picture, masks)
        kept = masks.any(axis=(1, 2))
        on_image = [input_mask_to_image(m, found.image_size, self.upsampling) for m in masks[kept]]
        masks = np.array(on_image, dtype=bool).reshape(-1, *found.image_size)
        boxes = found.boxes[kept]
        if self.boxes_from_masks:
            boxes = mask_to_box(torch.from_numpy(masks)).numpy().astype(np.float64)
        return ImageMasks(boxes, found.scores[kept], masks)
