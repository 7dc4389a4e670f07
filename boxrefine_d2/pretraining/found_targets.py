"""Targets of FOUND's head (arXiv:2212.07834): background of a frozen ViT, and masks with edges.

The bilateral solver moves the masks to the edges of the image.

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

_EPS = 1e-10  # from FOUND's code: a head without attention gets a large, finite weight


def cls_attention(last: LastBlock, num_heads: int) -> Tensor:
    """Return the attention of CLS to each patch, (B, nh, N).

    The shares of the patches and of CLS itself sum to 1; the share of CLS is left out.
    """
    query, key, _ = (part.unflatten(2, (num_heads, -1)) for part in last.qkv.unbind(1))
    scores = torch.einsum("bhc,bthc->bht", query[:, 0].float(), key.float())
    attention: Tensor = (scores * key.shape[-1] ** -0.5).softmax(dim=2)[:, :, 1:]
    return attention


def head_weights(attention: Tensor) -> Tensor:
    """Return the weight of each head, (B, nh).

    A head weighs more if fewer patches exceed the mean attention over all heads.
    """
    share = (attention > attention.mean(dim=(1, 2), keepdim=True)).float().mean(dim=2) + _EPS
    return (share.sum(dim=1, keepdim=True) / share).log()


def background(keys: Tensor, attention: Tensor, cosine: float) -> Tensor:
    """Return the patches that are similar to the one with the least attention, (B, N) bool.

    Args:
        keys: (B, N, C).
        attention: attention of CLS, (B, nh, N).
        cosine: least cosine similarity of a background patch with that patch, exclusive.
    """
    weights = head_weights(attention)
    weighted = keys.unflatten(2, (weights.shape[1], -1)) * weights[:, None, :, None]
    unit = F.normalize(weighted.flatten(2), dim=2)
    return _cosines(unit, (attention * weights[..., None]).sum(dim=1).argmin(dim=1)) > cosine


def common_background(keys: Tensor, cosine: float) -> Tensor:
    """Return the patches similar to the one that is most similar to all, (B, N) bool.

    It is ours, not published, for networks whose CLS learnt nothing, such as dino_mini.

    Args: see `background`.
    """
    unit = F.normalize(keys, dim=2)
    return _cosines(unit, torch.einsum("bnc,bc->bn", unit, unit.sum(dim=1)).argmax(dim=1)) > cosine


def _cosines(unit: Tensor, seed: Tensor) -> Tensor:
    """Return the cosines of unit vectors (B, N, C) with those at the index `seed` (B,), (B, N)."""
    reference = unit[torch.arange(len(unit), device=unit.device), seed]
    return torch.einsum("bnc,bc->bn", unit, reference)


@dataclass(frozen=True)
class SolvedMasks:
    """Masks drawn along the edges of their images by the bilateral solver, on the patch grid.

    Attributes: solver: arguments of `BilateralSolver`.
    """

    solver: dict[str, Any]

    def __call__(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return solved masks; a patch is foreground if most of its pixels are above one half.

        Args: images: (B, 3, h * P, w * P) uint8 RGB.  masks: (B, h, w) bool.
        Returns: (B, h, w) bool, on the masks' device.
        """
        solved = [
            self._solve(image.permute(1, 2, 0).cpu().numpy(), mask.cpu().numpy())
            for image, mask in zip(images, masks, strict=True)
        ]
        return torch.from_numpy(np.stack(solved)).to(masks.device)

    def _solve(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        (h, w), patch = mask.shape, image.shape[0] // mask.shape[0]
        pixels = mask.repeat(patch, axis=0).repeat(patch, axis=1)
        solved = BilateralSolver(np.ascontiguousarray(image), **self.solver)(pixels) > 0.5
        foreground: np.ndarray = solved.reshape(h, patch, w, patch).mean(axis=(1, 3)) > 0.5
        return foreground
