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
    """Two sides of a cut.

    Attributes:
        eigenvector: (B, N) float64, with the sign that makes the foreground the upper side.
        foreground: (B, N) bool.
        seed: (B,) int64, a cell of the foreground.
    """

    eigenvector: Tensor
    foreground: Tensor
    seed: Tensor


def bipartition(eigenvector: Tensor, tie_tolerance: float) -> Bipartition:
    """Return the sides; the foreground is the side with the cell of the largest absolute value.

    This follows TokenCut's code. The split is at the mean. The values of cells with equal
    neighbours differ only by rounding. The seed is the first cell within the tolerance of the
    largest value, so that it depends on neither the solver nor the device.

    Args:
        eigenvector: (B, N) of any sign.
        tie_tolerance: share of the largest value; 0 gives the exact argmax.
    """
    seed = first_largest(eigenvector.abs(), tie_tolerance)
    upper = eigenvector > eigenvector.mean(dim=1, keepdim=True)
    turned = ~upper.gather(1, seed[:, None])
    # Cells that equal the mean exactly are in the complement, as in the code.
    return Bipartition(torch.where(turned, -eigenvector, eigenvector), upper ^ turned, seed)


def first_largest(values: Tensor, tie_tolerance: float) -> Tensor:
    """Return the first cell of each row within the tolerance of the row's largest value, (B,).

    Args: values: (B, N); the largest of each row is above 0.
    """
    limit = values.max(dim=1, keepdim=True).values * (1 - tie_tolerance)
    return (values >= limit).to(torch.uint8).argmax(dim=1)


@DISCOVERY_REGISTRY.register_as("tokencut")
class TokenCut(DiscoveryRule):
    """Rule with one box per image, around the seed's component in the foreground of the cut.

    Args (keyword):
        tau: cosine similarity above which patches have an edge.
        eps: weight of a pair without an edge.
        tie_tolerance: see `bipartition`.
        bilateral: the parameters of `bilateral_masks`, with which discover.py refines the masks, as
            in TokenCut's saliency; False for no refinement.
        max_objects: most components of the foreground per image (ours, not published).
        min_area: share of the grid that a further component must cover (ours, not published).
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
        """Return the cut of each image's graph."""
        return normalized_cut(similarity_edges(features.tokens(), self.tau), self.eps)

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Map of the soft foreground, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the soft foreground, (B, h, w) in [0, 1], differentiable.

        It is the logistic function of a sum over the image's patches (ours, not published). The sum
        adds the similarities of a patch to them, weighted by the eigenvector less its mean. Its
        unit is its root mean square. 0.5 is the border between the two sides. The eigenvector has
        no gradient.
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
        """Return one PseudoBoxes per image, with the component as mask.

        The score is 1 - lambda. It is near 1 if the sides are hardly connected.
        """
        cut = self.cut(features)
        return self.boxes_of(cut, bipartition(cut.eigenvector, self.tie_tolerance), features)

    def boxes_of(self, cut: Cut, sides: Bipartition, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, from the two sides of its cut."""
        self.dense_solves += int(cut.dense.sum())
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
