"""Fields with the statistics of natural surfaces, and the patterns of objects."""

from functools import lru_cache

import numpy as np
import scipy.fft


@lru_cache(maxsize=48)
def _amplitudes(size: tuple[int, int], slope: float, stretch: float) -> np.ndarray:
    """Return 1/f^slope over the frequencies of an (H, W) image in FFT order, float32.

    The amplitude of the mean is 0.
    """
    height, width = size
    diagonal = np.hypot(height, width)
    along = (np.fft.fftfreq(width) * diagonal) ** 2 * stretch
    across = (np.fft.fftfreq(height) * diagonal) ** 2 / stretch
    # The amplitudes level off below about two cycles per diagonal. Otherwise the slowest waves
    # would dominate.
    energy = along.astype(np.float32)[None, :] + (across + 3.0).astype(np.float32)[:, None]
    amplitudes: np.ndarray = energy ** np.float32(-slope / 2)
    amplitudes[0, 0] = 0
    # This scale gives a field of `natural_fields` the standard deviation 1 (uniform numbers in
    # [-1/2, 1/2) have variance 1/12).
    power = np.square(amplitudes).sum(dtype=np.float64)
    amplitudes *= np.float32(height * width * np.sqrt(12 / power))
    amplitudes.flags.writeable = False
    return amplitudes


def natural_fields(
    rng: np.random.Generator, size: tuple[int, int], slope: float, stretch: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return two independent fields whose amplitude falls as 1/f^slope.

    The slope of natural images is about 1, that of clouds nearly 2.

    Args:   size: (H, W).  stretch: length of the grain in rows over that in columns.
    Returns: two (H, W) float32 arrays, mean 0, standard deviation 1 on average, nearly Gaussian.
    """
    # Uniform numbers suffice, because a pixel is a sum over all frequencies. They are several times
    # faster to draw than Gaussian numbers.
    spectrum = rng.random((*size, 2), dtype=np.float32)
    spectrum -= np.float32(0.5)
    waves = spectrum.view(np.complex64)[..., 0]
    waves *= _amplitudes(size, slope, stretch)
    both = scipy.fft.ifft2(waves, overwrite_x=True)
    return np.ascontiguousarray(both.real), np.ascontiguousarray(both.imag)


def step(value: np.ndarray, softness: float) -> np.ndarray:
    """Return a soft step from 0 to 1 around value 0, linear from -softness to +softness."""
    share: np.ndarray = np.clip(value * np.float32(0.5 / softness) + np.float32(0.5), 0, 1)
    return share


def pattern_share(
    name: str,
    u: np.ndarray,
    v: np.ndarray,
    field: np.ndarray,
    grain: np.ndarray,
    pitch: float,
    angle: float,
) -> np.ndarray:
    """Return the share of the second colour at each pixel, (h, w), from 0 to 1.

    The average share is never more than about one half.

    Args:   name: one of `palette.PATTERNS`.
            u, v: coordinates in the object's own frame, about [-1, 1], (h, w) each.
            field, grain: smooth and rough natural field, (h, w) each.
            pitch: repeats per unit of the frame.  angle: rotation in radians.
    """
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    a, b = (u * c + v * s) * np.float32(pitch), (v * c - u * s) * np.float32(pitch)
    if name == "striped":
        return step(
            np.sin(np.float32(2 * np.pi) * a + np.float32(0.5) * field) - np.float32(0.2), 0.25
        )
    if name == "spotted":
        b = b * np.float32(1.15)
        row = np.floor(b)
        x = a + np.float32(0.5) * (row % 2)
        near = np.hypot(x - np.floor(x) - np.float32(0.5), b - row - np.float32(0.5))
        return step(np.float32(0.31) - near + np.float32(0.02) * field, 0.05)
    if name == "checkered":
        wave = np.sin(np.float32(np.pi) * a * np.float32(1.3)) * np.sin(
            np.float32(np.pi) * b * np.float32(1.3)
        )
        return step(wave - np.float32(0.08), 0.08)
    if name == "mottled":
        return step(field + np.float32(0.25) * grain - np.float32(0.65), 0.3)
    if name == "speckled":
        return step(grain - np.float32(1.0), 0.35)
    if name == "streaked":
        wave = np.sin(a * np.float32(17.0) + field) + np.sin(
            a * np.float32(29.0) + np.float32(2.0) * field
        )
        return step(wave + np.float32(0.7) * grain - np.float32(0.7), 0.6)
    if name == "netted":
        x, y = np.abs(a - np.floor(a) - np.float32(0.5)), np.abs(b - np.floor(b) - np.float32(0.5))
        return step(np.maximum(x, y) - np.float32(0.39), 0.04)
    return np.zeros_like(u)


def structure_field(name: str, size: tuple[int, int], pitch: float, warp: np.ndarray) -> np.ndarray:
    """Return the structure of a ground, (H, W), about [-1, 1].

    The structures are courses of bricks, planks and folds of cloth.
    """
    height, width = size
    y = (np.arange(height, dtype=np.float32)[:, None] + np.float32(0.6) * warp) / np.float32(pitch)
    x = (np.arange(width, dtype=np.float32)[None, :] + np.float32(0.6) * warp) / np.float32(pitch)
    if name == "bricks":
        course = np.floor(y)
        joint = np.minimum(y - course, (x / 2 + course / 2) % 1 * 2)
        tone = np.sin(course * np.float32(12.9) + np.floor(x / 2 + course / 2) * np.float32(78.2))
        return np.where(joint < np.float32(0.14), np.float32(1.0), np.float32(0.35) * tone)
    if name == "planks":
        board = np.floor(y / 2)
        tone = np.sin(board * np.float32(37.7))
        return np.where(y / 2 - board < np.float32(0.05), np.float32(-1.6), np.float32(0.5) * tone)
    return np.sin(x * np.float32(0.8) + np.float32(0.35) * y + np.float32(1.4) * warp)  # folds
