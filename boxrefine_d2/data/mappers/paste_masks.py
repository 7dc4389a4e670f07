"""Random regions to paste: smooth blobs and rounded boxes of any size, place and softness.

Shapes and places are drawn without knowledge of any image.
"""

import math

import numpy as np
from scipy import ndimage

MAX_REGIONS = 2


def paste_masks(size: int, area: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Draw the masks of the regions to paste on one image. 40 % of the images get a second region.

    Args:   size: side of the image in pixels.
            area: smallest and largest share of the image that a region covers, before the border
            cuts it.
    Returns: (MAX_REGIONS, size, size) uint8, 0 to 255; the mask of an absent region is empty.
    """
    masks = np.zeros((MAX_REGIONS, size, size), np.uint8)
    for mask in masks[: 1 + (rng.random() < 0.4)]:
        region = _region(size, area, rng).astype(np.float32)
        if rng.random() < 0.7:
            region = ndimage.uniform_filter(region, rng.choice([3, 5, 7]), mode="nearest")
        mask[:] = np.rint(255 * region)
    return masks


def _region(size: int, area: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Draw one region, (size, size) bool.

    It is a rotated ellipse with a wavy outline or, in 30 % of the draws, a rotated box with round
    corners.
    """
    radius = math.sqrt(4 / math.pi * math.exp(rng.uniform(*np.log(area))))
    stretch = math.exp(rng.uniform(-0.35, 0.35))
    radii = radius * stretch, radius / stretch
    # Large regions lie near the middle, small regions anywhere.
    centre = [rng.uniform(-1, 1) * max(0.05, 1 - 0.7 * r) for r in radii]
    turn = rng.uniform(0, math.pi)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    x, y = x - centre[0], y - centre[1]
    u = (x * math.cos(turn) + y * math.sin(turn)) / radii[0]
    v = (y * math.cos(turn) - x * math.sin(turn)) / radii[1]
    power = 6 if rng.random() < 0.3 else 2
    distance = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    angle = np.arctan2(v, u)
    outline = np.ones_like(distance)
    wave = rng.uniform(0, 0.5)
    for frequency in range(2, 8):
        height = wave * rng.standard_normal() / frequency**0.8
        outline += height * np.cos(frequency * angle + rng.uniform(0, 2 * math.pi))
    region: np.ndarray = distance < outline.clip(0.25, 2)
    return region
