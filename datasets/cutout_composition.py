"""Composition of one image: cut-outs over the crop of a photograph, with masks of visible parts.

All randomness comes from the generator that is passed in. The same generator gives the same pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cutout_sources import Stamp
from PIL import Image, ImageFilter

SIDES = (288, 480)  # pixels: bounds of both sides
ASPECTS = (1.0, 4 / 3, 3 / 2, 3 / 4, 2 / 3)  # width over height
OBJECT_COUNTS = (0.45, 0.3, 0.17, 0.08)  # chance of 1, 2, 3, 4 objects
SCALES = (0.25, 0.95)  # longer side of an object over the square root of the image's area
MAX_ENLARGEMENT = 1.6  # largest factor by which a stamp's own pixels are enlarged
ROTATION = 20.0  # degrees, to either side
OVERHANG = 0.15  # share of an object's room to move by which it may leave it, to either side
MIN_CROP = 0.5  # side of a background's crop over the largest possible side
MIN_VISIBLE = 0.6  # share of an object's pixels that the frame and other objects leave visible
MIN_AREA = 0.005  # share of the image's area
TRIES = 20  # attempts to place an object, before it is left out of the image


@dataclass(frozen=True)
class Placed:
    """An object placed in the frame.

    Attributes: stamp: index of its stamp.  layer: (H, W, 4) uint8, its RGBA pixels in the frame.
        whole: number of pixels of its mask, inside and outside the frame.
    """

    stamp: int
    layer: np.ndarray
    whole: int

    @property
    def mask(self) -> np.ndarray:
        """Mask of the object, (H, W) bool: True where it is at least half opaque."""
        return self.layer[..., 3] >= 128


@dataclass(frozen=True)
class Composition:
    """A composed image with its objects, from the lowest to the topmost.

    Attributes: pixels: (H, W, 3) uint8.  stamps: index of each object's stamp.
        masks: (H, W) bool, the visible part of each object; none is empty.
    """

    pixels: np.ndarray
    stamps: list[int]
    masks: list[np.ndarray]


def compose(
    rng: np.random.Generator, stamps: Sequence[Stamp], backgrounds: Sequence[np.ndarray]
) -> Composition:
    """Compose one image. Every object with a visible part has a mask."""
    size = image_size(rng)
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    canvas = random_crop(rng, background, size)
    placed: list[Placed] = []
    for _ in range(1 + rng.choice(len(OBJECT_COUNTS), p=OBJECT_COUNTS)):
        for _ in range(TRIES):
            candidate = random_object(rng, stamps, size)
            if acceptable([*placed, candidate]):
                placed.append(candidate)
                break
    light = rng.uniform(0, 2 * math.pi)
    for item in placed:
        canvas = cast_shadow(rng, canvas, item.layer[..., 3], light)
        canvas = lay_over(rng, canvas, item.layer, light)
    canvas = canvas + rng.uniform(0.5, 3.0) * rng.standard_normal(canvas.shape, dtype=np.float32)
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    masks = visible_parts([item.mask for item in placed])
    return Composition(pixels, [item.stamp for item in placed], masks)


def visible_parts(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the part of each (H, W) bool mask that the masks after it do not cover."""
    visible: list[np.ndarray] = []
    for mask in masks:
        visible = [part & ~mask for part in visible]
        visible.append(mask)
    return visible


def acceptable(placed: Sequence[Placed]) -> bool:
    """Return True if every object shows `MIN_VISIBLE` of itself and `MIN_AREA` of the image."""
    for item, part in zip(placed, visible_parts([item.mask for item in placed])):
        area = int(part.sum())
        if area < MIN_VISIBLE * item.whole or area < MIN_AREA * part.size:
            return False
    return True


def image_size(rng: np.random.Generator) -> tuple[int, int]:
    """Draw an image's (height, width) in pixels, both within `SIDES`."""
    aspect = ASPECTS[int(rng.integers(len(ASPECTS)))]
    stretch = max(aspect, 1 / aspect)
    shortest, longest = SIDES
    short = int(rng.integers(shortest, int(longest / stretch), endpoint=True))
    long = min(round(short * stretch), longest)
    return (short, long) if aspect >= 1 else (long, short)


def random_crop(
    rng: np.random.Generator, background: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Return a part of a background, never enlarged, as (H, W, 3) float32 of the given size."""
    height, width = size
    rows, columns = background.shape[:2]
    largest = min(rows / height, columns / width)
    factor = rng.uniform(max(1.0, MIN_CROP * largest), largest) if largest > 1 else largest
    crop_height, crop_width = factor * height, factor * width
    top, left = rng.uniform(0, rows - crop_height), rng.uniform(0, columns - crop_width)
    image = Image.fromarray(background).resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(left, top, left + crop_width, top + crop_height),
    )
    pixels = np.asarray(image, dtype=np.float32)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def random_object(
    rng: np.random.Generator, stamps: Sequence[Stamp], size: tuple[int, int]
) -> Placed:
    """Place a stamp at random scale, rotation and position; the frame may cut it."""
    height, width = size
    index = int(rng.integers(len(stamps)))
    image = stamps[index].pixels
    if stamps[index].may_mirror and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    longer = rng.uniform(*SCALES) * math.sqrt(height * width)
    factor = min(longer / max(image.size), MAX_ENLARGEMENT)
    image = image.resize(
        (max(1, round(factor * image.width)), max(1, round(factor * image.height))),
        Image.Resampling.LANCZOS,
    )
    image = image.rotate(rng.uniform(-ROTATION, ROTATION), Image.Resampling.BICUBIC, expand=True)
    left = round(rng.uniform(-OVERHANG, 1 + OVERHANG) * (width - image.width))
    top = round(rng.uniform(-OVERHANG, 1 + OVERHANG) * (height - image.height))
    frame = Image.new("RGBA", (width, height))
    frame.paste(image, (left, top))
    whole = int((np.asarray(image.getchannel("A")) >= 128).sum())
    return Placed(index, np.asarray(frame), whole)


def cast_shadow(
    rng: np.random.Generator, canvas: np.ndarray, alpha: np.ndarray, light: float
) -> np.ndarray:
    """Darken the canvas behind an object, on the side away from the light (radians)."""
    reach = math.sqrt((alpha >= 128).sum())
    distance = rng.uniform(0.03, 0.12) * reach
    softness = rng.uniform(0.02, 0.06) * reach
    strength = rng.uniform(0.25, 0.55)
    shadow = Image.new("L", alpha.shape[::-1])
    offset = (round(-distance * math.cos(light)), round(-distance * math.sin(light)))
    shadow.paste(Image.fromarray(np.ascontiguousarray(alpha)), offset)
    shadow = shadow.filter(ImageFilter.GaussianBlur(softness))
    return canvas * (1 - strength / 255 * np.asarray(shadow, dtype=np.float32))[..., None]


def lay_over(
    rng: np.random.Generator, canvas: np.ndarray, layer: np.ndarray, light: float
) -> np.ndarray:
    """Lay an object over the canvas, lit from one side.

    Its brightness and tint are moved towards those of the pixels that it covers.
    """
    box = Image.fromarray(layer).getchannel("A").getbbox()
    assert box is not None, "only visible objects are placed"
    left, top, right, bottom = box
    window = np.s_[top:bottom, left:right]
    colour = layer[window][..., :3].astype(np.float32)
    alpha = layer[window][..., 3:].astype(np.float32) / 255
    under = canvas[window]
    own, covered = ((part * alpha).mean(axis=(0, 1)) / alpha.mean() + 1 for part in (colour, under))
    brightness = np.clip((covered.mean() / own.mean()) ** 0.25, 0.7, 1.35) * rng.uniform(0.85, 1.15)
    tint = np.clip((covered / covered.mean()) ** rng.uniform(0.05, 0.25), 0.85, 1.2)
    y, x = np.mgrid[: bottom - top, : right - left].astype(np.float32)
    across = x * math.cos(light) + y * math.sin(light)
    across -= (across * alpha[..., 0]).sum() / alpha.sum()
    ramp = 1 + rng.uniform(0.05, 0.2) * np.clip(2 * across / math.sqrt(alpha.sum()), -1, 1)
    lit = np.clip(colour * (brightness * tint) * ramp[..., None], 0, 255)
    result = canvas.copy()
    result[window] = under * (1 - alpha) + lit * alpha
    return result
