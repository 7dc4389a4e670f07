"""The result of a discovery rule for one image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .box_frames import boxes_input_to_image


@dataclass
class PseudoBoxes:
    """Boxes (and masks) that a rule computed from a map; never ground truth.

    Attributes:
        boxes: (N, 4) float32, XYXY, half-open, in pixels of the network's input (before padding).
        scores: (N,) float32, higher is better; comparable within one rule only.
        input_size: (H, W) of that input; boxes lie inside it.
        masks: (N, h, w) bool on the grid of the map, or on a finer grid over the same padded input;
            None for a rule without masks.
        soft_masks: (N, h, w) float32 in [0, 1], the map behind each mask; None for a rule whose
            mask steps do not read it.
    """

    boxes: Tensor
    scores: Tensor
    input_size: tuple[int, int]
    masks: Tensor | None = None
    soft_masks: Tensor | None = None

    def __post_init__(self) -> None:
        if self.boxes.dim() != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"boxes must be (N, 4), not {tuple(self.boxes.shape)}")
        if self.scores.shape != self.boxes.shape[:1]:
            raise ValueError(
                f"{len(self.boxes)} boxes need as many scores, not {tuple(self.scores.shape)}"
            )
        self.boxes = self.boxes.to(torch.float32)
        self.scores = self.scores.to(torch.float32)

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device | str) -> "PseudoBoxes":
        """Return a copy on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        soft_masks = None if self.soft_masks is None else self.soft_masks.to(device)
        return PseudoBoxes(
            self.boxes.to(device), self.scores.to(device), self.input_size, masks, soft_masks
        )

    def resized(self, image_size: tuple[int, int]) -> "PseudoBoxes":
        """Return the same boxes in the frame of an image of another size.

        Masks stay on their grid.

        Args: image_size: (H, W) of the other image.
        """
        boxes = boxes_input_to_image(self.boxes, self.input_size, image_size)
        return PseudoBoxes(boxes, self.scores, image_size, self.masks, self.soft_masks)
