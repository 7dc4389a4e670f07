"""First convolution after g's first upsampling, for many phrases of one image.

A phrase multiplies each cell of the image's features by one number, its gate. Doubling and
convolution are linear. Each cell therefore adds its own share to the pixels around it, and this
share is the same for every phrase. A phrase only multiplies the shares by its gates. This takes 9
multiplications per pixel and channel instead of 9 C.

Shapes: P phrases, C channels of the features, D channels of the result, h x w cells. The doubled
map has 2 x 2 pixels per cell.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SharedUpsampling:
    """Function from gates to conv(doubled(gate * features)), without a gradient.

    It stores 36 D numbers per cell. Keep it only as long as its image.
    """

    def __init__(self, conv: nn.Conv2d, features: Tensor):
        """Compute the shares of each cell.

        Args:
            conv: 3 x 3 convolution with padding 1 from C to D channels.
            features: (C, h, w) of one image.
        """
        with torch.no_grad():
            self._bias = conv.bias
            self._shares = _shares(conv.weight, features)

    @torch.no_grad()
    def __call__(self, gates: Tensor) -> Tensor:
        """Return (P, D, 2 h, 2 w), channels last in memory. Args: gates: (P, 1, h, w)."""
        h, w = gates.shape[2:]
        cell_gates = F.unfold(gates, 3, padding=1).permute(2, 0, 1)  # (h w, P, 9), zeros outside
        pixels = cell_gates @ self._shares.view(h * w, 9, -1)
        pixels = pixels.view(h, w, len(gates), 2, 2, -1).permute(2, 0, 3, 1, 4, 5)
        result = pixels.reshape(len(gates), 2 * h, 2 * w, -1)
        result = result if self._bias is None else result.add_(self._bias)
        return result.permute(0, 3, 1, 2)


def _shares(weight: Tensor, features: Tensor) -> Tensor:
    """Return the shares of the 3 x 3 neighbours in the 2 x 2 pixels of each cell, for gates of 1.

    Args: weight: (D, C, 3, 3).  features: (C, h, w).
    Returns: (h, w, 3, 3, 4, D).
    """
    _, h, w = features.shape
    products = features.flatten(1).T @ weight.permute(1, 2, 3, 0).flatten(
        1
    )  # each cell by each tap
    products = F.pad(products.view(h, w, 9, -1), (0, 0, 0, 0, 1, 1, 1, 1))
    reads = torch.einsum("ypik,xqjl->yxijpqkl", _taps(h, features), _taps(w, features))
    reads = reads.reshape(h, w, 3, 3, 4, 9)
    shares = features.new_empty(h, w, 3, 3, 4, len(weight))
    for i, j in product(range(3), range(3)):
        shares[:, :, i, j] = reads[:, :, i, j] @ products[i : i + h, j : j + w]
    return shares


def _taps(cells: int, like: Tensor) -> Tensor:
    """Return the weight of each neighbour in the value that each tap reads, along one side.

    The unit vectors are doubled by `F.interpolate`, which gives its weights at the borders too.
    Neighbours outside the map have weight 0.

    Args: cells: n, the number of cells along the side.
    Returns: (n, 2, 3, 3); entry [c, p, i, k] is for pixel p of cell c, neighbour i - 1 and tap k.
    """
    unit = torch.eye(cells, dtype=like.dtype, device=like.device)
    doubled = F.interpolate(unit[None], scale_factor=2, mode="linear", align_corners=False)[0]
    read = F.pad(doubled, (1, 1)).unfold(1, 3, 1)  # (n, 2 n, 3): the convolution pads with zeros
    read = F.pad(read, (0, 0, 0, 0, 1, 1)).unflatten(1, (cells, 2))  # (n + 2, n, 2, 3)
    near = [read.diagonal(-i, dim1=0, dim2=1) for i in range(3)]  # (2, 3, n) each
    return torch.stack(near).permute(3, 1, 0, 2)
