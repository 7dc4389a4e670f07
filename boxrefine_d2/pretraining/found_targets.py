"""What FOUND's head learns from (arXiv:2212.07834): the background that a frozen ViT shows, and the picture's edges.

Shapes: B images, nh heads, N = h * w patches, C channels, P pixels a patch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.masks.bilateral import BilateralSolver
from boxrefine_d2.networks.map_network import LastBlock

_EPS = 1e-10  # of FOUND's code: a head that looks at nothing weighs much, but not infinitely


def cls_attention(last: LastBlock, num_heads: int) -> Tensor:
    """(B, nh, N): how much CLS looks at each patch; the share that goes to CLS itself is left out."""
    query, key, _ = (part.unflatten(2, (num_heads, -1)) for part in last.qkv.unbind(1))
    scores = torch.einsum("bhc,bthc->bht", query[:, 0].float(), key.float())
    attention: Tensor = (scores * key.shape[-1] ** -0.5).softmax(dim=2)[:, :, 1:]
    return attention


def head_weights(attention: Tensor) -> Tensor:
    """(B, nh): a head that looks at few patches, more than their mean over all heads, weighs much."""
    share = (attention > attention.mean(dim=(1, 2), keepdim=True)).float().mean(dim=2) + _EPS
    return (share.sum(dim=1, keepdim=True) / share).log()


def background(keys: Tensor, attention: Tensor, cosine: float) -> Tensor:
    """(B, N) bool: patches like the one that CLS looks at least.

    Args: keys: (B, N, C).  attention: (B, nh, N).  cosine: with that patch; what is greater is background.
    """
    weights = head_weights(attention)
    weighted = keys.unflatten(2, (weights.shape[1], -1)) * weights[:, None, :, None]
    unit = F.normalize(weighted.flatten(2), dim=2)
    return _like(unit, (attention * weights[..., None]).sum(dim=1).argmin(dim=1)) > cosine


def common_background(keys: Tensor, cosine: float) -> Tensor:
    """(B, N) bool: patches like the one that is most like all others (ours, not published).

    For networks whose CLS learnt nothing, such as dino_mini. Args: as of `background`.
    """
    unit = F.normalize(keys, dim=2)
    return _like(unit, torch.einsum("bnc,bc->bn", unit, unit.sum(dim=1)).argmax(dim=1)) > cosine


def _like(unit: Tensor, seed: Tensor) -> Tensor:
    """(B, N): cosines of unit vectors (B, N, C) with those at `seed` (B,)."""
    reference = unit[torch.arange(len(unit), device=unit.device), seed]
    return torch.einsum("bnc,bc->bn", unit, reference)


@dataclass(frozen=True)
class SolvedMasks:
    """Masks drawn along the edges of their pictures by the bilateral solver, back on the grid.

    Attributes: solver: the numbers of `BilateralSolver`.
    """

    solver: dict[str, Any]

    def __call__(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """A patch is foreground where more than half of its pixels are above a half.

        Args: pictures: (B, 3, h * P, w * P) uint8 RGB.  masks: (B, h, w) bool.
        Returns: (B, h, w) bool, on the masks' device.
        """
        solved = [
            self._solve(picture.permute(1, 2, 0).cpu().numpy(), mask.cpu().numpy())
            for picture, mask in zip(pictures, masks, strict=True)
        ]
        return torch.from_numpy(np.stack(solved)).to(masks.device)

    def _solve(self, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
        (h, w), patch = mask.shape, picture.shape[0] // mask.shape[0]
        pixels = mask.repeat(patch, axis=0).repeat(patch, axis=1)
        solved = BilateralSolver(np.ascontiguousarray(picture), **self.solver)(pixels) > 0.5
        foreground: np.ndarray = solved.reshape(h, patch, w, patch).mean(axis=(1, 3)) > 0.5
        return foreground
