"""Box around the largest component of FOUND's mask on the grid (arXiv:2212.07834).

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
    """Rule with one box per image, around the largest 4-connected component of the mask.

    The first one in raster order is taken among equals. An image with an empty mask gets no box;
    the official code stops at such an image.

    Args (keyword):
        mask_thresh: a cell is foreground if the mask is greater.
        max_objects: most components per image, the largest first (ours, not published).
        min_area: share of the grid that a further component must cover (ours, not published).
    """

    facets = ("mask",)

    def __init__(self, *, mask_thresh: float, max_objects: int, min_area: float):
        check_max_objects("found", max_objects)
        self.mask_thresh = mask_thresh
        self.max_objects, self.min_area = max_objects, min_area

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Map of the soft foreground, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the mask, (B, h, w) in [0, 1], differentiable.

        Raises: UserError for a map that is not a mask.
        """
        if (features.facet, features.data.shape[1]) != ("mask", 1):
            raise UserError(
                f"found reads a mask of one channel, not the facet {features.facet!r} of "
                f"{features.data.shape[1]} "
                "channels; use a segmenter, such as found_vits8, as backbone"
            )
        return features.data[:, 0]

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with its components as masks (N, h, w).

        The score is the mean of the soft mask inside the component.
        """
        heatmaps = self.heatmap(features).float().cpu().numpy()
        masks = [self._masks(heatmap > self.mask_thresh) for heatmap in heatmaps]
        scores = [
            [float(heatmap[mask].mean(dtype=np.float64)) for mask in image_masks]
            for heatmap, image_masks in zip(heatmaps, masks, strict=True)
        ]
        return pseudo_boxes_of(masks, scores, features)

    def _masks(self, foreground: np.ndarray) -> list[np.ndarray]:
        """Return the components of one mask (h, w), the largest first; none for an empty mask."""
        first = largest_component(foreground)
        if not first.any():
            return []
        return further_objects(foreground, first, self.max_objects, self.min_area)
