"""Conversion of all pixel formats to upright RGB.

The conversion runs strip by strip, and large images therefore need little extra memory. Colour
profiles (ICC) are not applied. 16-bit grey is divided by 257: 65535 becomes 255. 32-bit integers
and floats have no natural range and follow these rules:

- Integers within 0..255 stay. Integers within 0..65535 are divided by 257.
- Floats within 0..1 are multiplied by 255. Floats within 0..255 stay.
- All other values are stretched from the smallest to the largest finite value.
- Not-a-number becomes the smallest value.

Transparent pixels (an alpha channel, or a transparent palette entry or colour) are blended with
the grey `BACKGROUND`, which favours neither dark nor bright objects.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

BACKGROUND = (128, 128, 128)
_STRIP_PIXELS = 2**24  # pixels converted at a time
# EXIF orientation -> function that turns (H, W, 3) pixels upright
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return (H, W, 3) pixels turned upright by an EXIF orientation, contiguous.

    Orientations other than 2..8 leave the pixels unchanged.
    """
    if orientation not in _UPRIGHT:
        return pixels
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels))


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return the (H, W, 3) uint8 pixels of a decoded image, not yet turned upright.

    Raises: ValueError for an image without any finite pixel value.
    """
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    strips = [(y, min(y + rows, height)) for y in range(0, height, rows)]
    convert = _number_converter(image, strips) if _holds_numbers(image) else _strip_to_rgb
    pixels = np.empty((height, width, 3), np.uint8)
    for start, end in strips:
        part = image if len(strips) == 1 else image.crop((0, start, width, end))
        pixels[start:end] = convert(part)
    return pixels


def _strip_to_rgb(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(ground, rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _holds_numbers(image: Image.Image) -> bool:
    """Return True if the pixels are numbers of more than eight bits."""
    return image.mode.startswith("I") or image.mode == "F"


def _number_converter(
    image: Image.Image, strips: Sequence[tuple[int, int]]
) -> Callable[[Image.Image], np.ndarray]:
    """Return a function from a strip of numbers to (H, W, 1) uint8.

    It applies the rules in the module's docstring to the value range of the whole image.
    """
    sixteen = image.mode.startswith("I;16")
    low, high = np.inf, -np.inf
    for start, end in strips:
        values = np.asarray(image.crop((0, start, image.width, end)))
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise ValueError("it has no finite pixel value")

    def convert(strip: Image.Image) -> np.ndarray:
        values = np.asarray(strip)
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers)] = low
        whole = np.issubdtype(values.dtype, np.integer)
        if sixteen or (whole and low >= 0 and 255 < high <= 65535):
            numbers /= 257
        elif not whole and low >= 0 and high <= 1:
            numbers *= 255
        elif low < 0 or high > 255:
            numbers = (numbers - low) * 255 / (high - low or 1)
        return np.rint(numbers).astype(np.uint8)[:, :, None]

    return convert
