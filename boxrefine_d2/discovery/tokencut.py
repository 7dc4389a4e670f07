"""TokenCut: objects by a normalised cut of the patch graph (arXiv:2202.11539).

Shapes: B images, N = h * w cells in row-major order, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.bilateral import bilateral_masks
from boxrefine_d2.masks.components import component_of
from boxrefine_d2.masks.steps import MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .normalized_cut import Cut, normalized_cut, similarity_edges
from .rule import DiscoveryRule, SoftMap


@dataclass
class Bipartition:
    """The two sides of a cut.

    Attributes:
        eigenvector: (B, N) float64, its sign such that the foreground is the upper side.
        foreground: (B, N) bool.
        seed: (B,) int64, a cell of the foreground.
    """

    eigenvector: Tensor
    foreground: Tensor
    seed: Tensor


def bipartition(eigenvector: Tensor, tie_tolerance: float) -> Bipartition:
    """The side that holds the cell of the largest absolute value (TokenCut's code; the split is at the plain mean).

    Cells with equal neighbours have values that differ by rounding alone: of those within the tolerance of the largest
    the first cell is the seed, so that solver and device do not choose.

    Args: eigenvector: (B, N) of any sign.  tie_tolerance: share of the largest value; 0 is its exact argmax.
    """
    seed = first_largest(eigenvector.abs(), tie_tolerance)
    upper = eigenvector > eigenvector.mean(dim=1, keepdim=True)
    turned = ~upper.gather(1, seed[:, None])
    # at exact ties with the mean the complement holds them, as in the code
    return Bipartition(torch.where(turned, -eigenvector, eigenvector), upper ^ turned, seed)


def first_largest(values: Tensor, tie_tolerance: float) -> Tensor:
    """(B,) the first cell within a share of the largest of the row; values (B, N), the largest of each above 0."""
    limit = values.max(dim=1, keepdim=True).values * (1 - tie_tolerance)
    return (values >= limit).to(torch.uint8).argmax(dim=1)


@DISCOVERY_REGISTRY.register_as("tokencut")
class TokenCut(DiscoveryRule):
    """One box per image: the component of the seed in the foreground of the cut.

    Args (keyword):
        tau: cosine similarity above which patches have an edge.
        eps: weight of a pair without one.
        tie_tolerance: see `bipartition`.
        bilateral: the numbers of `bilateral_masks`, by which discover.py refines the masks, as TokenCut's saliency does;
            False leaves them as they are.
        max_objects, min_area: further components of the foreground, and the share of the grid each covers at least
            (ours, not published).
    """

    def __init__(
        self,
        *,
        tau: float,
        eps: float,
        tie_tolerance: float,
        bilateral: dict[str, Any] | Literal[False],
        max_objects: int,
        min_area: float,
    ):
        if not 0 < eps < 1:
            raise UserError(f"tokencut: eps is {eps}, but a weight above 0 and below 1 is needed")
        check_max_objects("tokencut", max_objects)
        self.tau, self.eps = tau, eps
        self.tie_tolerance = tie_tolerance
        self.max_objects, self.min_area = max_objects, min_area
        if bilateral:
            refine = partial(bilateral_masks, **bilateral)
            self.mask_steps = MaskSteps(refine=refine, boxes_from_masks=True)

    def cut(self, features: FeatureMap) -> Cut:
        """The cut of each image's graph."""
        return normalized_cut(similarity_edges(features.tokens(), self.tau), self.eps)

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """The soft foreground."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """The soft foreground (B, h, w) in [0, 1], differentiable: 0.5 between what is like either side.

        The logistic function of each patch's mean similarity to the patches of the image, weighted by the eigenvector
        less its mean, in units of its root mean square (ours, not published). The eigenvector carries no gradient.
        """
        unit = F.normalize(features.tokens().float(), dim=2)
        with torch.no_grad():
            eigenvector = bipartition(
                self.cut(features).eigenvector, self.tie_tolerance
            ).eigenvector
            weight = (eigenvector - eigenvector.mean(dim=1, keepdim=True)).to(unit)
        summed = torch.einsum("bnc,bmc,bm->bn", unit, unit, weight)
        scale = summed.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
        heatmap: Tensor = torch.sigmoid(summed / scale).unflatten(1, features.grid_size)
        return heatmap

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """One PseudoBoxes per image: the component as mask, score = 1 - lambda (1: the sides hardly touch)."""
        cut = self.cut(features)
        self.dense_solves += int(cut.dense.sum())
        sides = bipartition(cut.eigenvector, self.tie_tolerance)
        h, w = features.grid_size
        foreground = sides.foreground.cpu().numpy().reshape(-1, h, w)
        masks, scores = [], []
        for upper, seed, eigenvalue in zip(
            foreground, sides.seed.tolist(), cut.eigenvalue.tolist(), strict=True
        ):
            first = component_of(upper, divmod(seed, w))
            masks.append(further_objects(upper, first, self.max_objects, self.min_area))
            scores.append(shared_score(1 - eigenvalue, masks[-1]))
        return pseudo_boxes_of(masks, scores, features)
