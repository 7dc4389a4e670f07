"""Conversion of sRGB to CIELAB, in which distances follow the eye (IEC 61966-2-1, CIE 15, D65)."""

import torch
from torch import Tensor

# linear RGB to XYZ, each row divided by the white point of D65
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.950456, 1.0, 1.088754)
_SMALL = (6 / 29) ** 3


def lab_of(rgb: Tensor) -> Tensor:
    """Return (..., 3) L, a, b of (..., 3) sRGB colours in [0, 1]. L is in [0, 100]."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ rgb.new_tensor(_XYZ).T / rgb.new_tensor(_WHITE)
    root = torch.where(xyz > _SMALL, xyz.clamp(min=_SMALL) ** (1 / 3), xyz * 841 / 108 + 4 / 29)
    x, y, z = root.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)
