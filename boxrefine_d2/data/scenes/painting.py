"""Painting of a layout: backdrop, clutter, shadows, objects, front clutter and camera effects.

Colours are floats from 0 to 255 until the last step. The random draws here change no annotation.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, uniform_filter

from .clutter import BEHIND, Piece
from .layout import Backdrop, Layout, PlacedObject
from .materials import Material
from .outlines import SUPERSAMPLING, Part, bounding_window, coverage, to_subpixels
from .palette import GROUNDS, Colour, Ground, mix
from .placement import Shape, Window
from .textures import natural_fields, pattern_share, step, structure_field

Fields = tuple[np.ndarray, np.ndarray]  # a smooth and a rough natural field


def paint_scene(layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """Paint a layout, as an (H, W, 3) uint8 RGB image."""
    size, backdrop, light = layout.scene.size, layout.scene.backdrop, layout.scene.light
    upper, lower = (GROUNDS[name] for name in backdrop.setting.grounds)
    first = natural_fields(rng, size, upper.slope, upper.stretch)
    second = natural_fields(rng, size, lower.slope, lower.stretch)
    smooth = natural_fields(rng, size, 1.8)
    canvas = _paint_backdrop(backdrop, (upper, lower), (first, second), smooth, rng)
    tint = mix(backdrop.colours[1], backdrop.colours[0], rng.uniform(0, 0.25))
    top = backdrop.ground_top
    for kind in backdrop.setting.clutter:
        if kind == "shadows":
            canvas *= (
                1
                - rng.uniform(0.15, 0.35) * step(smooth[1] - rng.uniform(0.6, 1.2), 0.6)[..., None]
            )
        elif rng.random() < 0.75:
            canvas = draw_pieces(canvas, BEHIND[kind](rng, size, tint, top))
    # The patterns of the objects use mirrored fields, which serve as well as new ones.
    fields = smooth[0][::-1, ::-1], second[0][::-1, ::-1]
    for placed in layout.objects:
        _cast_shadow(canvas, placed, light, rng.uniform(0.25, 0.55))
        _paint_object(canvas, placed, light, fields)
    if layout.front:
        canvas = draw_pieces(canvas, layout.front)
    return _photograph(canvas, light, rng)


def _paint_backdrop(
    backdrop: Backdrop,
    grounds: tuple[Ground, Ground],
    fields: tuple[Fields, Fields],
    smooth: Fields,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint both grounds, joined along the setting's border.

    Each ground has a texture of lightness and a weaker texture of chroma.
    """
    height, width = size = smooth[0].shape
    share = _lower_share(backdrop, smooth[0])
    # The sums are written out per channel, because the rounding of a matrix product depends on the
    # number of threads.
    canvas = np.zeros((height, width, 3), dtype=np.float32)
    for ground, colour, (light, chroma), cover in zip(
        grounds, backdrop.colours, fields, (1 - share, share)
    ):
        if ground.structure != "none":
            pitch = rng.uniform(0.06, 0.1) * height
            light = light * np.float32(0.6) + structure_field(
                ground.structure, size, pitch, smooth[1]
            )
        contrast = 255 * ground.contrast * rng.uniform(0.65, 1.1)
        hue = contrast * 0.18 * _chroma_axis(rng)
        for channel, gain in enumerate(contrast * _lightness_axis(colour)):
            tone = light * np.float32(gain) + chroma * np.float32(hue[channel])
            canvas[..., channel] += cover * (tone + np.float32(colour[channel]))
    # Brightness changes slowly from top to bottom, as with distance, sky or falling light.
    fall = rng.uniform(-0.1, 0.1)
    canvas *= (1 + fall * np.linspace(-1, 1, height, dtype=np.float32))[:, None, None]
    return canvas


def _lightness_axis(colour: Colour) -> np.ndarray:
    """Return the direction in which shading changes a colour, with mean 1.

    It is the colour itself, mixed with grey.
    """
    own = np.array(colour) + 60
    axis: np.ndarray = own / own.mean()
    return axis


def _chroma_axis(rng: np.random.Generator) -> np.ndarray:
    """Draw a direction of hue alone.

    Natural surfaces vary more between warm and cold than between green and purple.
    """
    warm, green = rng.normal(0, 1.0), rng.normal(0, 0.35)
    return warm * np.array((1.0, 0.1, -1.1)) + green * np.array((-0.5, 1.0, -0.5))


def _lower_share(backdrop: Backdrop, field: np.ndarray) -> np.ndarray:
    """Return the share of the second ground at each pixel, (H, W) float32."""
    height, width = field.shape
    if backdrop.setting.composition == "single":
        return step(field - np.float32(0.9 + backdrop.edge), 0.25)
    y = np.arange(height, dtype=np.float32)[:, None] / height
    x = np.arange(width, dtype=np.float32)[None, :] / width
    wave = np.float32(0.0 if backdrop.setting.composition == "split" else 0.018)
    return step(y - np.float32(backdrop.edge) - np.float32(backdrop.tilt) * x + wave * field, 0.006)


def draw_pieces(canvas: np.ndarray, pieces: tuple[Piece, ...] | list[Piece]) -> np.ndarray:
    """Draw the pieces on a canvas (H, W, 3) in their order, with smooth edges; float32."""
    height, width = canvas.shape[:2]
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    image = image.resize((width * SUPERSAMPLING, height * SUPERSAMPLING), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for outline, colour in pieces:
        draw.polygon(to_subpixels(outline), fill=tuple(int(c) for c in colour))
    return np.asarray(image.reduce(SUPERSAMPLING)).astype(np.float32)


def _clip(window: Window, canvas: np.ndarray) -> Window:
    height, width = canvas.shape[:2]
    return max(window[0], 0), max(window[1], 0), min(window[2], width), min(window[3], height)


def _cast_shadow(canvas: np.ndarray, placed: PlacedObject, light: float, depth: float) -> None:
    """Darken the canvas in place by the shadow of an object.

    The shadow is the silhouette, moved away from the light and blurred.
    """
    x1, y1, x2, y2 = placed.shape.window
    extent = max(x2 - x1, y2 - y1)
    blur, reach = max(extent // 9, 2), 0.09 * extent
    dx, dy = -int(round(np.cos(light) * reach)), -int(round(np.sin(light) * reach))
    margin = 2 * blur
    shadow = np.pad(placed.silhouette.astype(np.float32), margin)
    shadow = uniform_filter(uniform_filter(shadow, blur), blur)
    x, y = x1 - margin + dx, y1 - margin + dy
    left, top, right, bottom = _clip((x, y, x + shadow.shape[1], y + shadow.shape[0]), canvas)
    if left < right and top < bottom:
        shadow = shadow[top - y : bottom - y, left - x : right - x]
        canvas[top:bottom, left:right] *= (1 - shadow * np.float32(depth / 255))[..., None]


def _paint_object(canvas: np.ndarray, placed: PlacedObject, light: float, fields: Fields) -> None:
    """Paint all parts of an object on the canvas in place, back to front."""
    relief = _relief(placed, light)
    x1, y1, x2, y2 = _clip(placed.shape.window, canvas)
    # The fields are standardised over the object. A pattern then looks the same on the object as
    # over a large area.
    levels = [_level(field[y1:y2, x1:x2]) for field in fields]
    for part in placed.shape.parts:
        window = _clip(bounding_window(part.outline), canvas)
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            continue
        alpha = coverage([part.outline], window).astype(np.float32) / np.float32(255)
        smooth, rough = (
            (field[top:bottom, left:right] - mean) / deviation
            for field, (mean, deviation) in zip(fields, levels)
        )
        colour = _part_colour(placed.shape, placed.materials[part.slot], window, (smooth, rough))
        x, y = placed.shape.window[:2]
        shade = relief[top - y : bottom - y, left - x : right - x] + _roundness(part, window, light)
        colour *= shade[..., None]
        target = canvas[top:bottom, left:right]
        target += (colour - target) * alpha[..., None]


def _level(field: np.ndarray) -> tuple[np.float32, np.float32]:
    """Return the mean and the standard deviation of a crop of a field.

    The deviation is at least 0.2, because a crop of a few pixels is flat.
    """
    return field.mean(), np.maximum(field.std(), np.float32(0.2))


def _relief(placed: PlacedObject, light: float) -> np.ndarray:
    """Return the brightness over the object's window, about 1.

    The silhouette is shaded as a cushion under the light.
    """
    x1, y1, x2, y2 = placed.shape.window
    blur = max(min(x2 - x1, y2 - y1) // 4, 3)
    cushion = placed.silhouette.astype(np.float32) / np.float32(255)
    cushion = uniform_filter(uniform_filter(cushion, blur, mode="constant"), blur, mode="constant")
    slope_y, slope_x = np.gradient(cushion)
    # The gradient points inwards. A flank that faces the light is bright.
    facing = -(slope_x * np.float32(np.cos(light)) + slope_y * np.float32(np.sin(light)))
    relief: np.ndarray = 1 + np.clip(facing * np.float32(0.45 * blur), -0.35, 0.3)
    return relief


def _roundness(part: Part, window: Window, light: float) -> np.ndarray:
    """Return the change of brightness over the window of a part shaded as a ball, (h, w)."""
    low, high = part.outline.min(axis=0), part.outline.max(axis=0)
    centre, radius = (low + high) / 2, np.maximum((high - low) / 2, 1.0)
    left, top, right, bottom = window
    x = ((np.arange(left, right) + 0.5 - centre[0]) / radius[0]).astype(np.float32)[None, :]
    y = ((np.arange(top, bottom) + 0.5 - centre[1]) / radius[1]).astype(np.float32)[:, None]
    c, s = np.float32(np.cos(light) * 0.22), np.float32(np.sin(light) * 0.22)
    ball = x * c + y * s - np.float32(0.16) * (x * x + y * y) + np.float32(0.06)
    roundness: np.ndarray = np.clip(ball * np.float32(part.relief), -0.5, 0.35)
    return roundness


def _part_colour(shape: Shape, material: Material, window: Window, fields: Fields) -> np.ndarray:
    """Return the unshaded colour of a part over its window, (h, w, 3) float32.

    It combines material, pattern and fine grain.
    """
    smooth, rough = fields
    grain = 1 + np.float32(0.05) * rough + np.float32(0.03) * smooth
    base = np.array(material.colour, dtype=np.float32)
    if material.pattern == "plain":
        return grain[..., None] * base
    left, top, right, bottom = window
    (shift_x, shift_y), scale = shape.origin, shape.scale
    x = ((np.arange(left, right) + 0.5 - shift_x) / scale).astype(np.float32)[None, :]
    y = ((np.arange(top, bottom) + 0.5 - shift_y) / scale).astype(np.float32)[:, None]
    c, s = np.float32(np.cos(shape.angle)), np.float32(np.sin(shape.angle))
    u, v = (x * c + y * s) * shape.mirror, y * c - x * s
    share = pattern_share(material.pattern, u, v, smooth, rough, material.pitch, material.angle)
    second = np.array(material.second, dtype=np.float32)
    colour: np.ndarray = grain[..., None] * (base + share[..., None] * (second - base))
    return colour


def _photograph(canvas: np.ndarray, light: float, rng: np.random.Generator) -> np.ndarray:
    """Return the canvas as an (H, W, 3) uint8 photograph.

    It adds uneven light, vignette, exposure, lens blur and sensor noise.
    """
    height, width = canvas.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    tilt, vignette = rng.uniform(0, 0.08), rng.uniform(0, 0.1)
    gain = 1 + np.float32(tilt * np.cos(light)) * x + np.float32(tilt * np.sin(light)) * y
    gain -= np.float32(vignette) * (x * x + y * y - 1)
    cast = rng.uniform(0.94, 1.05) * (1 + rng.normal(0, 0.015, 3))
    canvas = canvas * gain[..., None] * cast.astype(np.float32)
    sigma = rng.uniform(0.25, 0.8)
    canvas = gaussian_filter(canvas, (sigma, sigma, 0), truncate=2.5)
    # For sensor noise, the difference of two uniform numbers is close enough to a Gaussian
    # (standard deviation 0.41).
    noise = rng.random(canvas.shape, dtype=np.float32)
    noise -= rng.random(canvas.shape, dtype=np.float32)
    canvas += noise * np.float32(rng.uniform(1.5, 8.0))
    canvas += np.float32(0.5)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
