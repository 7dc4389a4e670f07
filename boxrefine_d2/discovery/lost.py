"""LOST: localising objects with self-supervised transformers and no labels (arXiv:2109.14279).

Shapes: B images, N = h * w cells in row-major order, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.components import component_of
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .rule import DiscoveryRule, SoftMap


@dataclass
class LostMaps:
    """The intermediate results of LOST.

    Attributes:
        degree: (B, N) int64, how many other cells have a positive similarity to each cell.
        seed: (B,) int64, the cell of the lowest degree, the first one among equals.
        summed: (B, N), similarities to the cells of the expanded seed, summed; foreground where positive.
    """

    degree: Tensor
    seed: Tensor
    summed: Tensor


def lost_maps(tokens: Tensor, k_patches: int) -> LostMaps:
    """Steps 1 to 5 of LOST for a batch, on the tokens' device.

    Similarities are raw inner products and every comparison is strictly > 0, without the self edge, as the code has
    it (the paper writes >= 0). The order among equal degrees is that of the cells, which the official code leaves
    to an unstable sort.

    Args: tokens: (B, N, C), not normalised.  k_patches: candidates for the expansion, at most N are used.
    """
    similarity = tokens @ tokens.transpose(1, 2)
    positive = similarity > 0
    degree = positive.sum(dim=2) - positive.diagonal(dim1=1, dim2=2).long()
    order = degree.argsort(dim=1, stable=True)
    seed = order[:, 0]
    candidates = torch.zeros_like(degree, dtype=torch.bool)
    candidates.scatter_(1, order[:, :k_patches], True)
    image = torch.arange(len(tokens), device=tokens.device)
    expanded = candidates & positive[image, seed]
    summed = (expanded.to(similarity.dtype)[:, None] @ similarity)[:, 0]
    return LostMaps(degree, seed, summed)


@DISCOVERY_REGISTRY.register_as("lost")
class Lost(DiscoveryRule):
    """One box per image: seed of the lowest degree, expanded, the component that holds the seed.

    Args (keyword):
        k_patches: candidates for seed expansion, in patches.
        centre: subtract each image's mean feature first (ours, not published).
        max_objects, min_area: further components of the foreground, and the share of the grid each covers at least
            (ours, not published).
    """

    def __init__(self, *, k_patches: int, centre: bool, max_objects: int, min_area: float):
        if k_patches < 1:
            raise UserError(f"lost: k_patches is {k_patches}, but at least 1 patch is needed")
        check_max_objects("lost", max_objects)
        self.k_patches = k_patches
        self.centre = centre
        self.max_objects, self.min_area = max_objects, min_area

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """The soft foreground, and where the seed is."""
        return {"heatmap": self.heatmap, "inverse_degree": self.inverse_degree}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """The soft foreground (B, h, w) in [0, 1], differentiable: 0.5 is the border that the boxes are drawn along.

        The logistic function of the summed similarity in units of its root mean square over the image (ours, not
        published). Seed and expansion are choices and carry no gradient.
        """
        summed = self.maps(features).summed
        scale = summed.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        heatmap: Tensor = torch.sigmoid(summed / scale).unflatten(1, features.grid_size)
        return heatmap

    def inverse_degree(self, features: FeatureMap) -> Tensor:
        """The share of cells that each cell is unlike, (B, h, w) in [0, 1], differentiable; high at the seed.

        LOST counts positive similarities; here each counts by the logistic function of the similarity in units of
        half its root mean square over the image (ours, not published). Unlike `heatmap` it tells where the seed is
        wrong.
        """
        tokens = self._tokens(features)
        similarity = tokens @ tokens.transpose(1, 2)
        scale = similarity.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-12)
        like = torch.sigmoid(2 * similarity / scale.detach())
        degree: Tensor = (1 - like.mean(dim=2)).unflatten(1, features.grid_size)
        return degree

    def _tokens(self, features: FeatureMap) -> Tensor:
        tokens = features.tokens().float()
        return tokens - tokens.mean(dim=1, keepdim=True) if self.centre else tokens

    def maps(self, features: FeatureMap) -> LostMaps:
        """What the boxes are drawn from."""
        return lost_maps(self._tokens(features), self.k_patches)

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """One PseudoBoxes per image: the component as mask, score = share of cells unlike the seed."""
        maps = self.maps(features)
        h, w = features.grid_size
        foreground = (maps.summed > 0).cpu().numpy().reshape(-1, h, w)
        seed_degree = maps.degree.gather(1, maps.seed[:, None])[:, 0].float().cpu()
        unlike = (1 - seed_degree / max(h * w - 1, 1)).tolist()
        masks, scores = [], []
        for upper, seed, score in zip(foreground, maps.seed.tolist(), unlike, strict=True):
            first = component_of(upper, divmod(seed, w))
            masks.append(further_objects(upper, first, self.max_objects, self.min_area))
            scores.append(shared_score(score, masks[-1]))
        return pseudo_boxes_of(masks, scores, features)
