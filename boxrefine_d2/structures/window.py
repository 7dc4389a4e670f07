"""Window of an image: the frame between a view of the image and the image itself.

The frame `window` counts pixels of the image from the window's upper left corner; in a mirrored
window, from its upper right corner to the left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels in an image, seen mirrored or not.

    Attributes:
        top, left: upper left corner in pixels of the image.
        size: (H, W) in pixels of the image.
        mirrored: whether left and right are exchanged.
    """

    top: int
    left: int
    size: tuple[int, int]
    mirrored: bool = False

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (h, w, C) pixels of the window of an (H, W, C) image."""
        height, width = self.size
        pixels = image[self.top : self.top + height, self.left : self.left + width]
        return (pixels[:, ::-1] if self.mirrored else pixels).copy()  # strides above 0

    def boxes_to_image(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 4) XYXY boxes of the window in the frame of the image."""
        if self.mirrored:
            boxes = np.stack(
                [self.size[1] - boxes[:, 2], boxes[:, 1], self.size[1] - boxes[:, 0], boxes[:, 3]],
                axis=1,
            )
        return boxes + np.array([self.left, self.top, self.left, self.top], dtype=np.float64)

    def masks_to_image(
        self, masks: NDArray[np.bool_], image_size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        """Return (N, H, W) masks of the image from (N, h, w) masks of the window.

        Pixels outside the window belong to no mask.

        Args: image_size: (H, W) of the image.
        """
        height, width = self.size
        placed = np.zeros((len(masks), *image_size), dtype=bool)
        rows, columns = slice(self.top, self.top + height), slice(self.left, self.left + width)
        placed[:, rows, columns] = masks[:, :, ::-1] if self.mirrored else masks
        return placed
