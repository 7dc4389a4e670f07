"""The object of a map or of a mask: the component inside the contour of the largest area.

Sources: weight map (Shaharabany and Wolf, arXiv:2111.14131), where the pixels from a share of the
maximum count; LCAR (Coarse2Fine, AAAI 2023), where the map is a mask already.

Shapes: B images, h x w cells, H x W pixels.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.contour_area import contour_areas
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import pseudo_boxes_of
from .rule import DiscoveryRule, SoftMap


@DISCOVERY_REGISTRY.register_as("largest_contour")
class LargestContour(DiscoveryRule):
    """Rule with one box per image, around the largest contour of the bright part of a heatmap.

    An image whose heatmap has no value above 0 gets no box.

    Args (keyword): share: a cell is bright from this share of the largest value.
    """

    facets = ("heatmap", "mask")

    def __init__(self, *, share: float):
        self.share = share

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Heatmap that the rule reads, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the heatmap, (B, h, w), differentiable.

        Raises: UserError for a map that is no heatmap.
        """
        if features.facet not in self.facets or features.data.shape[1] != 1:
            raise UserError(
                f"largest_contour reads a heatmap of one channel, not the facet {features.facet!r} "
                f"of {features.data.shape[1]} channels; use a classifier, a weight map or a "
                "segmenter as backbone"
            )
        return features.data[:, 0]

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with the component as its mask (1, h, w).

        The score is the mean of the heatmap inside the component.
        """
        heatmaps = self.heatmap(features).float().cpu().numpy()
        found = [largest_contour(bright_pixels(heatmap, self.share))[0] for heatmap in heatmaps]
        masks = [[mask] if mask.any() else [] for mask in found]
        scores = [
            [float(heatmap[mask].mean(dtype=np.float64)) for mask in image_masks]
            for heatmap, image_masks in zip(heatmaps, masks, strict=True)
        ]
        return pseudo_boxes_of(masks, scores, features)


def bright_pixels(heatmap: np.ndarray, share: float) -> np.ndarray:
    """Return the pixels with at least a share of the largest value, (H, W) bool.

    A map without a value above 0 has no bright pixel.

    Args: heatmap: (H, W).  share: above 0, at most 1.
    """
    high = heatmap.max()
    return heatmap >= share * high if high > 0 else np.zeros(heatmap.shape, dtype=bool)


def largest_contour(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 8-connected component with the largest contour, and its box.

    The area inside a contour decides (see `masks.contour_area`), not the number of pixels. An empty
    mask gives an empty component, and a box around the whole image.

    Args: mask: (H, W) bool.
    Returns: component (H, W) bool; box (4,) int64 XYXY, half-open, in pixels of the mask.
    """
    if not mask.any():
        return np.zeros_like(mask), np.array([0, 0, mask.shape[1], mask.shape[0]])
    found = contour_areas(mask)
    component: np.ndarray = found.component_ids == found.largest + 1
    return component, found.boxes[found.largest]
