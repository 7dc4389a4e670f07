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
    """Intermediate results of LOST.

    Attributes:
        degree: (B, N) int64, number of other cells with a positive similarity to each cell.
        seed: (B,) int64, cell of the lowest degree; the first one among equals.
        summed: (B, N), sum of the similarities to the cells of the expanded seed. A cell is
            foreground if it is positive.
    """

    degree: Tensor
    seed: Tensor
    summed: Tensor


def lost_maps(tokens: Tensor, k_patches: int) -> LostMaps:
    """Return the results of steps 1 to 5 of LOST for a batch, on the tokens' device.

    Similarities are raw inner products. Every comparison is strictly > 0, without the self edge, as
    in the code; the paper writes >= 0. Cells of equal degree keep the order of cells. The official
    code sorts them with an unstable sort.

    Args:
        tokens: (B, N, C), not normalised.
        k_patches: candidates for the expansion, in patches; at most N are used.
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
    """Rule with one box per image, around the component that holds the seed.

    The seed is the cell of the lowest degree. Its expansion gives the foreground.

    Args (keyword):
        k_patches: candidates for seed expansion, in patches.
        centre: subtract each image's mean feature first (ours, not published).
        max_objects: most components of the foreground per image (ours, not published).
        min_area: share of the grid that a further component must cover (ours, not published).
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
        """Maps of the soft foreground, "heatmap", and of the seed, "inverse_degree"."""
        return {"heatmap": self.heatmap, "inverse_degree": self.inverse_degree}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the soft foreground, (B, h, w) in [0, 1], differentiable.

        It is the logistic function of the summed similarity, in units of its root mean square over
        the image (ours, not published). The foreground of the boxes is where it exceeds 0.5. The
        seed and its expansion are discrete and have no gradient.
        """
        summed = self.maps(features).summed
        scale = summed.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        heatmap: Tensor = torch.sigmoid(summed / scale).unflatten(1, features.grid_size)
        return heatmap

    def inverse_degree(self, features: FeatureMap) -> Tensor:
        """Return the share of cells unlike each cell, (B, h, w) in [0, 1], differentiable.

        It is high at the seed. LOST counts positive similarities. Here a similarity counts by its
        logistic function, in units of half its root mean square over the image (ours, not
        published). Unlike `heatmap`, this map shows a wrong seed.
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
        """Return the intermediate results from which the boxes follow."""
        return lost_maps(self._tokens(features), self.k_patches)

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with the component as mask.

        The score is the share of cells unlike the seed.
        """
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
