"""Test inputs: whole images at the size that a network reads."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from boxrefine_d2.structures import Window

from ..images import read_image


def image_tensor(image: np.ndarray) -> torch.Tensor:
    """Convert (H, W, 3) uint8 to (3, H, W) uint8."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


class ImageMapper(Protocol):
    """Mapper from a record to a test input, whose size depends on the image size alone."""

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (H, W) of the input for an image of this size in pixels."""
        ...

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return {"image", "height", "width", "file_name", "relative_name", "image_id"}.

        "image" is (3, H, W) uint8. "height" and "width" are those of the original image in pixels.
        If the input shows a part of the image, or mirrors it, "window" is that `Window`.

        Raises: ImageReadError for a file that cannot be read.
        """
        ...


class SqueezedImageMapper:
    """MaskCut's test input: the whole image resized to a square (Lanczos), aspect not kept."""

    filter = Image.Resampling.LANCZOS

    def __init__(self, side: int):
        """Create the mapper.

        Args: side: side of the square in pixels.
        """
        self.side = side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (side, side) for every image."""
        return self.side, self.side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents."""
        return resized_sample(record, self.input_size, self.filter)


class WholeImageMapper:
    """Test input: the whole image, reduced if its longer side exceeds a limit.

    The resizing is bicubic and antialiased.
    """

    filter = Image.Resampling.BICUBIC

    def __init__(self, max_side: int):
        """Create the mapper.

        Args: max_side: limit of the longer side in pixels; 0: no limit.
        """
        self.max_side = max_side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (H, W) of the input for an image of this size in pixels.

        The aspect is kept, and each side has at least one pixel.
        """
        longest = max(height, width)
        if not self.max_side or longest <= self.max_side:
            return height, width
        scale = self.max_side / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents."""
        return resized_sample(record, self.input_size, self.filter)


def resized_sample(
    record: dict[str, Any],
    input_size: Callable[[int, int], tuple[int, int]],
    filter: Image.Resampling,
    window_of: Callable[[tuple[int, int]], Window] | None = None,
) -> dict[str, Any]:
    """Return the sample that `ImageMapper` documents, resized with a filter.

    Args:
        input_size: function from the height and width of the image to (H, W) of the input.
        window_of: function from (H, W) of the image to the window to show; None shows all.
    Raises: ImageReadError for a file that cannot be read.
    """
    image = read_image(record["file_name"])
    height, width = image.shape[:2]
    target = input_size(height, width)
    window = window_of((height, width)) if window_of else None
    if window:
        image = window.cut(image)
    if target != image.shape[:2]:
        image = np.array(Image.fromarray(image).resize(target[::-1], filter))
    sample = {} if window is None else {"window": window}
    return sample | {
        "image": image_tensor(image),
        "height": height,
        "width": width,
        "file_name": record["file_name"],
        "relative_name": record.get("relative_name", record["file_name"]),
        "image_id": record["image_id"],
    }
