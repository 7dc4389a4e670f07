"""Orientation of a map whose sign is arbitrary, such as an eigenvector, by a seed of the object.

Source: LCAR (Coarse2Fine, AAAI 2023), where the seed is the bright part of a class-activation map.

Shapes: B images of H x W pixels.
"""

import torch
from torch import Tensor


def oriented(maps: Tensor, seeds: Tensor) -> Tensor:
    """Return each map, or 1 - map where its lower side holds the larger share of seed pixels.

    The upper side has the values above the mean. An empty side has the share 0. Equal shares leave
    the map as it is.

    Args:
        maps: (B, H, W) in [0, 1].
        seeds: (B, H, W) bool, pixels of the object.
    """
    upper = maps > maps.mean(dim=(1, 2), keepdim=True)
    turned = _shares(seeds, upper) < _shares(seeds, ~upper)
    return torch.where(turned[:, None, None], 1 - maps, maps)


def _shares(seeds: Tensor, side: Tensor) -> Tensor:
    """Return the share of the pixels of a side that are seeds, (B,); 0 for an empty side."""
    return (seeds & side).sum(dim=(1, 2)) / side.sum(dim=(1, 2)).clamp(min=1)
