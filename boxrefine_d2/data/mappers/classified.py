"""Inputs of a network that learns from class labels, for training and for testing."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import ResizedCrop

from ..image_cache import CachedReader
from ..image_labels import known_label, label_of
from ..images import image_size, read_image
from .draws import torch_draws
from .whole_image import image_tensor


class ClassMapper:
    """Training input: the image resized to a square, a random crop of it, perhaps mirrored.

    The weight map resizes to 256 and crops 224 pixels (Tiny-ImageNet: 72 and 64); so does LCAR. The
    draws depend only on the seed, the position in the stream and the number of the view.
    """

    def __init__(
        self,
        *,
        resize: int,
        crop: int,
        flip: bool,
        seed: int,
        cache_bytes: float = 0.0,
        resampling: Image.Resampling = Image.Resampling.BILINEAR,
    ):
        """Create the mapper.

        Args:   resize: side of the square in pixels; the aspect is not kept.
                crop: side of the crop in pixels.
                flip: mirror half of the images.
                seed: seed of all draws.
                cache_bytes: largest total size of the cached squares in bytes.
                resampling: filter of the resizing, which is antialiased.
        Raises: UserError if the crop is larger than the square.
        """
        _check_sides(resize, crop)
        self._read = CachedReader(cache_bytes, _Resize(resize, resampling))
        self.resize, self.crop = resize, crop
        self.flip, self.seed = flip, seed

    def __call__(self, record: dict[str, Any], position: int, view: int = 0) -> dict[str, Any]:
        """Return {"image", "image_label", "frame", "file_name", "image_id"[, "input_key"]}.

        "image" is (3, crop, crop) uint8 RGB, "frame" its `ResizedCrop`. "input_key" identifies an
        input that recurs; it is absent for random crops.

        Args:   view: number of the view, for inputs with several draws at one position.
        Raises: ImageReadError for a file that cannot be read; UserError for an image without a
                class.
        """
        label = label_of(record)
        square = self._read(record["file_name"])
        size = record["height"], record["width"]
        whole = size if all(size) else image_size(record["file_name"])
        with torch_draws(np.random.SeedSequence([self.seed, position, view])):
            top, left = torch.randint(self.resize - self.crop + 1, (2,)).tolist()
            mirrored = self.flip and bool(torch.rand(()) < 0.5)
        sides = (self.resize, self.resize), (self.crop, self.crop)
        frame = ResizedCrop(whole, sides[0], top, left, sides[1], mirrored)
        recurs = self.crop == self.resize
        return ({"input_key": (record["file_name"], mirrored)} if recurs else {}) | {
            "image": _cut(square, frame),
            "image_label": label,
            "frame": frame,
            "file_name": record["file_name"],
            "image_id": record["image_id"],
        }


class ClassTestMapper:
    """Test input: the image resized to a square, and the centre crop of it.

    With `resize` equal to `crop`, the whole image is seen, as in LCAR and in the published
    evaluation; the weight map crops.
    """

    def __init__(
        self, *, resize: int, crop: int, resampling: Image.Resampling = Image.Resampling.BILINEAR
    ):
        """Create the mapper.

        Args:   resize: side of the square in pixels; the aspect is not kept.
                crop: side of the crop in pixels.
                resampling: filter of the resizing, which is antialiased.
        Raises: UserError if the crop is larger than the square.
        """
        _check_sides(resize, crop)
        self._resize = _Resize(resize, resampling)
        self.resize, self.crop = resize, crop

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (crop, crop) for every image."""
        return self.crop, self.crop

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents, with "frame" and perhaps "image_label".

        "frame" is the `ResizedCrop` of the input. "image_label" is absent for an image without a
        class.

        Raises: ImageReadError for a file that cannot be read.
        """
        image = read_image(record["file_name"])
        height, width = image.shape[:2]
        start, sides = (self.resize - self.crop) // 2, (self.resize, self.resize)
        frame = ResizedCrop((height, width), sides, start, start, (self.crop, self.crop))
        label = known_label(record)
        return ({} if label is None else {"image_label": label}) | {
            "image": _cut(self._resize.squared(image), frame),
            "frame": frame,
            "height": height,
            "width": width,
            "file_name": record["file_name"],
            "relative_name": record.get("relative_name", record["file_name"]),
            "image_id": record["image_id"],
        }


class _Resize:
    """Reader of an image as a square; a cache of squares takes fewer bytes than one of images."""

    def __init__(self, side: int, resampling: Image.Resampling):
        self.side, self.resampling = side, resampling

    def __call__(self, path: str) -> np.ndarray:
        return self.squared(read_image(path))

    def squared(self, image: np.ndarray) -> np.ndarray:
        """Return (side, side, 3) uint8 of an (H, W, 3) image."""
        resized = Image.fromarray(image).resize((self.side, self.side), self.resampling)
        return np.array(resized)


def _cut(square: np.ndarray, frame: ResizedCrop) -> torch.Tensor:
    """Return the (3, S, T) uint8 input that a frame describes, from the resized image."""
    height, width = frame.size
    part = square[frame.top : frame.top + height, frame.left : frame.left + width]
    return image_tensor((part[:, ::-1] if frame.mirrored else part).copy())


def _check_sides(resize: int, crop: int) -> None:
    if not 0 < crop <= resize:
        raise UserError(
            f"a crop of {crop} pixels from a square of {resize}: the crop must be from 1 to "
            f"{resize} pixels; lower it or enlarge the square"
        )
