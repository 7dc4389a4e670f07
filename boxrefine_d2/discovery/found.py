"""The box of FOUND's mask (arXiv:2212.07834): its largest component on the grid.

Shapes: B images, h x w cells.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.components import largest_component
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of
from .rule import DiscoveryRule, SoftMap


@DISCOVERY_REGISTRY.register_as("found")
class Found(DiscoveryRule):
    """One box per image: the 4-connected component of the mask that has the most cells, the first of equals.

    An image whose mask is empty gets no box; the official code stops there.

    Args (keyword):
        mask_thresh: a cell is foreground where the mask is greater.
        max_objects, min_area: further components, the largest first, and the share of the grid that each covers at
            least (ours, not published).
    """

    facets = ("mask",)

    def __init__(self, *, mask_thresh: float, max_objects: int, min_area: float):
        check_max_objects("found", max_objects)
        self.mask_thresh = mask_thresh
        self.max_objects, self.min_area = max_objects, min_area

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """The soft foreground."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """The mask itself, (B, h, w) in [0, 1], differentiable.

        Raises: UserError for a map that is no mask.
        """
        if (features.facet, features.data.shape[1]) != ("mask", 1):
            raise UserError(
                f"found reads a mask of one channel, not the facet {features.facet!r} of {features.data.shape[1]} "
                "channels; use a segmenter, such as found_vits8, as backbone"
            )
        return features.data[:, 0]

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """One PseudoBoxes per image: components as masks (N, h, w), score = mean of the soft mask inside."""
        heatmaps = self.heatmap(features).float().cpu().numpy()
        masks = [self._masks(heatmap > self.mask_thresh) for heatmap in heatmaps]
        scores = [
            [float(heatmap[mask].mean(dtype=np.float64)) for mask in of_image]
            for heatmap, of_image in zip(heatmaps, masks, strict=True)
        ]
        return pseudo_boxes_of(masks, scores, features)

    def _masks(self, foreground: np.ndarray) -> list[np.ndarray]:
        """Of one image (h, w): components, the largest first; none of an empty mask."""
        first = largest_component(foreground)
        if not first.any():
            return []
        return further_objects(foreground, first, self.max_objects, self.min_area)
