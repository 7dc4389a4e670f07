"""Frame of an input that is a crop of a resized image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ResizedCrop:
    """An image that is resized, then cropped, then perhaps mirrored.

    The frame `input` counts pixels of the crop from its upper left corner, as it is shown.

    Attributes:
        image_size: (H, W) of the image in pixels.
        resized: (h, w) of the whole image after resizing, in pixels of the input.
        top, left: upper left corner of the crop in pixels of the resized image.
        size: (S, T), height and width of the crop.
        mirrored: whether left and right are exchanged.
    """

    image_size: tuple[int, int]
    resized: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]
    mirrored: bool = False

    def boxes_to_input(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 4) XYXY boxes of the image in the frame of the input, not clipped to it."""
        return self._mirrored(boxes * self._scale - self._corner)

    def boxes_to_image(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 4) XYXY boxes of the input in the frame of the image."""
        return (self._mirrored(boxes) + self._corner) / self._scale

    @property
    def _scale(self) -> NDArray[np.float64]:
        y, x = np.divide(self.resized, self.image_size)
        return np.array([x, y, x, y])

    @property
    def _corner(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, self.left, self.top], dtype=np.float64)

    def _mirrored(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.mirrored:
            return boxes
        width = self.size[1]
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
