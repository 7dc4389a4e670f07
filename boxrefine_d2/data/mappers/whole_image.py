"""Test input: a whole image at the size that a network reads."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..images import read_image


def image_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 to (3, H, W) uint8."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


class ImageMapper(Protocol):
    """From a record to a test input, whose size the size of the image tells."""

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the input made from an image of that size."""
        ...

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """{"image" (3, H, W) uint8, "height", "width" of the original, "file_name", "relative_name", "image_id"}.

        Raises: ImageReadError for a bad file.
        """
        ...


class SqueezedImageMapper:
    """Test input: the whole image squeezed to a square (LANCZOS), its aspect lost; MaskCut's."""

    def __init__(self, side: int):
        """Args: side: pixels."""
        self.side = side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The square, whatever the image."""
        return self.side, self.side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """See `ImageMapper`."""
        return resized_sample(record, self.input_size, Image.Resampling.LANCZOS)


class WholeImageMapper:
    """Test input: the whole image, reduced (antialiased bicubic) when its longer side exceeds a limit."""

    def __init__(self, max_side: int):
        """Args: max_side: pixels; 0 is no limit."""
        self.max_side = max_side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the input made from an image of that size, aspect kept, at least one pixel a side."""
        longest = max(height, width)
        if not self.max_side or longest <= self.max_side:
            return height, width
        scale = self.max_side / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """See `ImageMapper`."""
        return resized_sample(record, self.input_size, Image.Resampling.BICUBIC)


def resized_sample(
    record: dict[str, Any],
    input_size: Callable[[int, int], tuple[int, int]],
    filter: Image.Resampling,
) -> dict[str, Any]:
    """What an `ImageMapper` returns. Raises: ImageReadError for a bad file."""
    image = read_image(record["file_name"])
    height, width = image.shape[:2]
    target = input_size(height, width)
    if target != (height, width):
        image = np.array(Image.fromarray(image).resize(target[::-1], filter))
    return {
        "image": image_tensor(image),
        "height": height,
        "width": width,
        "file_name": record["file_name"],
        "relative_name": record.get("relative_name", record["file_name"]),
        "image_id": record["image_id"],
    }
