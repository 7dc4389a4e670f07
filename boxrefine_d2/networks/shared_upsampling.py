"""The first convolution after g's first upsampling, for many phrases of one image.

A phrase multiplies each cell of the image's features by one number, its gate. Doubling and convolution are linear, so
each cell has its own share in the pixels around it, whatever the phrase, and a phrase only weighs the shares by its
gates: 9 multiplications a pixel and channel in place of 9 C.

Shapes: P phrases, C channels of the features, D of the result, h x w cells, of each 2 x 2 pixels of the doubled map.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SharedUpsampling:
    """conv(doubled(gate * features)) of any gates, without a gradient.

    It holds 36 D numbers a cell: keep it no longer than its image.
    """

    def __init__(self, conv: nn.Conv2d, features: Tensor):
        """Args: conv: 3 x 3, padding 1, C to D channels.  features: (C, h, w) of one image."""
        with torch.no_grad():
            self._bias = conv.bias
            self._shares = _shares(conv.weight, features)

    @torch.no_grad()
    def __call__(self, gates: Tensor) -> Tensor:
        """(P, D, 2 h, 2 w), in memory channels last, of (P, 1, h, w)."""
        h, w = gates.shape[2:]
        of_cells = F.unfold(gates, 3, padding=1).permute(2, 0, 1)  # (h w, P, 9), zeros outside
        pixels = of_cells @ self._shares.view(h * w, 9, -1)
        pixels = pixels.view(h, w, len(gates), 2, 2, -1).permute(2, 0, 3, 1, 4, 5)
        result = pixels.reshape(len(gates), 2 * h, 2 * w, -1)
        result = result if self._bias is None else result.add_(self._bias)
        return result.permute(0, 3, 1, 2)


def _shares(weight: Tensor, features: Tensor) -> Tensor:
    """(h, w, 3, 3, 4, D): in the 2 x 2 pixels of each cell, what its 3 x 3 neighbours with a gate of 1 give them.

    Args: weight: (D, C, 3, 3).  features: (C, h, w).
    """
    _, h, w = features.shape
    seen = features.flatten(1).T @ weight.permute(1, 2, 3, 0).flatten(1)  # of a cell, by each tap
    seen = F.pad(seen.view(h, w, 9, -1), (0, 0, 0, 0, 1, 1, 1, 1))
    reads = torch.einsum("ypik,xqjl->yxijpqkl", _taps(h, features), _taps(w, features))
    reads = reads.reshape(h, w, 3, 3, 4, 9)
    shares = features.new_empty(h, w, 3, 3, 4, len(weight))
    for i, j in product(range(3), range(3)):
        shares[:, :, i, j] = reads[:, :, i, j] @ seen[i : i + h, j : j + w]
    return shares


def _taps(cells: int, like: Tensor) -> Tensor:
    """(n, 2, 3, 3) along one side of n cells: for pixel p of a cell, the weight of the neighbour i - 1 in what tap k reads.

    Doubling the unit vectors gives the weights as `F.interpolate` has them, at the borders, too; neighbours outside have
    none.
    """
    unit = torch.eye(cells, dtype=like.dtype, device=like.device)
    doubled = F.interpolate(unit[None], scale_factor=2, mode="linear", align_corners=False)[0]
    read = F.pad(doubled, (1, 1)).unfold(1, 3, 1)  # (n, 2 n, 3): the convolution pads with zeros
    read = F.pad(read, (0, 0, 0, 0, 1, 1)).unflatten(1, (cells, 2))  # (n + 2, n, 2, 3)
    near = [read.diagonal(-i, dim1=0, dim2=1) for i in range(3)]  # (2, 3, n) each
    return torch.stack(near).permute(3, 1, 0, 2)
