"""Classes of groups and of pixels, as in GroupViT's release.

A group has the softmax over its classes, times a second softmax in which only the likely classes of
the image take part. A pixel has the row of its group.

Shapes: G groups, C classes, D dimensions, N patches, H x W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LIKELY = 5  # classes of an image that take part


def group_affinity(
    segments: Tensor, pooled: Tensor, texts: Tensor, scale: float | Tensor, likely: int = LIKELY
) -> Tensor:
    """Return the affinity of each group with each class, (G, C), from 0 to 1.

    Args:
        segments: (G, D) of length 1.
        pooled: vector of the image, (D,) of length 1.
        texts: vectors of the classes, (C, D) of length 1.
        scale: factor of cosines.
        likely: classes of the image with the highest probability; the others get 0.
    """
    logits = scale * segments @ texts.T
    best = (scale * pooled @ texts.T).topk(min(likely, len(texts))).indices
    left = torch.full_like(logits, -torch.inf)
    left[:, best] = logits[:, best]
    return logits.softmax(dim=1) * left.softmax(dim=1)


def with_background(affinity: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Return the rows of the groups with the background in front, (T, G, 1 + C).

    The background has 1 where the best class of a group is below the threshold, strictly, and 0
    elsewhere. A threshold is at most the largest affinity, so that not everything is background.
    """
    best = affinity.amax(dim=1)
    limits = torch.tensor(thresholds, dtype=affinity.dtype, device=affinity.device)
    limits = limits.clamp(max=best.max())
    background = (best[None] < limits[:, None]).to(affinity.dtype)
    rows = affinity.expand(len(limits), -1, -1)
    return torch.cat([background[..., None], rows], dim=2)


def group_of_pixels(attention: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the group of each pixel, (H, W) int64.

    Args: attention: (G, N) shares.  grid: (h, w) of the patches.  size: (H, W), bilinear.
    """
    maps = attention.unflatten(1, grid)[None]
    resized = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0]
    return resized.argmax(dim=0)
