"""Semantic segmentation of an image of any size in windows, for several thresholds in one pass.

Source: GroupViT's release. The short side has 448 pixels, windows of 448 pixels move by 224, and
the last one is moved inside. The scores of a pixel are the mean over its windows.

Shapes: C classes, T thresholds, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.padding import normalise_and_pad

from .group_inference import LIKELY, group_affinity, group_of_pixels, with_background
from .group_model import GroupViT

WINDOWS_AT_ONCE = 4
PATCH = 16  # pixels


@dataclass(frozen=True)
class WindowSettings:
    """Sizes of the inference, in pixels.

    Attributes:
        short: short side of the resized image.
        longest: most pixels of its long side.
        window: side of a window.
        stride: distance of windows.
        likely: see `group_affinity`.
    """

    short: int = 448
    longest: int = 2048
    window: int = 448
    stride: int = 224
    likely: int = LIKELY


def window_settings(side: int) -> WindowSettings:
    """Return the sizes for a short side and windows of `side` pixels, which move by a half.

    Raises: UserError for a side that is no multiple of a patch.
    """
    if side < PATCH or side % PATCH:
        raise UserError(f"--side {side}: give a multiple of {PATCH} pixels, such as 448")
    return WindowSettings(short=side, window=side, stride=side // 2)


def resized_size(height: int, width: int, settings: WindowSettings) -> tuple[int, int]:
    """Return (H, W) of the resized image; the aspect is kept."""
    factor = min(settings.short / min(height, width), settings.longest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def window_starts(side: int, window: int, stride: int) -> list[int]:
    """Return the first pixels of the windows; the last window ends at the last pixel.

    >>> window_starts(700, 448, 224), window_starts(300, 448, 224)
    ([0, 224, 252], [0])
    """
    last = max(side - window, 0)
    return [*range(0, last, stride), last]


@torch.no_grad()
def class_scores(
    network: GroupViT,
    image: np.ndarray,
    texts: Tensor,
    thresholds: Sequence[float],
    settings: WindowSettings,
) -> Tensor:
    """Return the scores of background and classes at each threshold, (T, 1 + C, H, W).

    Args: image: (H, W, 3) uint8 RGB.  texts: (C, D) of length 1.
    """
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image).to(network.device).permute(2, 0, 1)[None].float()
    size = resized_size(height, width, settings)
    resized = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
    normal = normalise_and_pad(list(resized), 1)
    window = settings.window
    padded = F.pad(normal, (0, max(window - size[1], 0), 0, max(window - size[0], 0)))
    places = [
        (top, left)
        for top in window_starts(padded.shape[2], window, settings.stride)
        for left in window_starts(padded.shape[3], window, settings.stride)
    ]
    total = torch.zeros(len(thresholds), 1 + len(texts), *padded.shape[2:], device=network.device)
    count = torch.zeros(padded.shape[2:], device=network.device)
    for start in range(0, len(places), WINDOWS_AT_ONCE):
        some = places[start : start + WINDOWS_AT_ONCE]
        inputs = torch.cat([padded[..., y : y + window, x : x + window] for y, x in some])
        groups = network(inputs)
        attention = groups.attention
        for number, (y, x) in enumerate(some):
            own = groups.segments[number], groups.pooled[number]
            affinity = group_affinity(*own, texts, network.logit_scale, settings.likely)
            rows = with_background(affinity, thresholds)
            of_pixel = group_of_pixels(attention[number], groups.grid, (window, window))
            total[..., y : y + window, x : x + window] += rows[:, of_pixel].permute(0, 3, 1, 2)
            count[y : y + window, x : x + window] += 1
    scores = (total / count)[..., : size[0], : size[1]]
    return F.interpolate(scores, size=(height, width), mode="bilinear", align_corners=False)
