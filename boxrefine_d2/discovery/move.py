"""Box around MOVE's soft mask, as in the box-refinement paper (ICCV 2023) and its release.

MOVE (arXiv:2210.07920) published no code for that step.

Shapes: B images, H x W pixels of the input, H' x W' pixels with its padding.
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.components import TOUCHING_CORNERS
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_choices, check_max_objects
from .rule import DiscoveryRule, SoftMap

CHOICES = {
    "rank_by": ("pixels", "rectangle"),
    "maxima": ("exclusive", "inclusive"),
    "fallback": ("image", "square"),
}


@DISCOVERY_REGISTRY.register_as("move")
class Move(DiscoveryRule):
    """Rule with one box per image, around the largest 8-connected component of the mask.

    The defaults follow the paper.

    Args (keyword):
        mask_thresh: a pixel is foreground if the mask is greater.
        min_side: share of the image's height, which also stands for its width. A component counts
            if the area of its upright rectangle exceeds the area of a square with that side.
        rank_by: measure of the size. "pixels" is the number of pixels (paper). "rectangle" is the
            area of the upright rectangle (release); a thin diagonal can then exceed a blob. Among
            equals, the later one in raster order is taken.
        maxima: x2 and y2 are "exclusive", or "inclusive" (release), which makes boxes one pixel
            shorter.
        fallback: the box if no component counts. "image" is the whole image. "square" is
            [0, 0, H - 1, H - 1] (release), clipped to the image.
        max_objects: most components per image, in the same order (ours, not published).
        min_area: share of the image that a further component must cover (ours, not published).
    """

    facets = ("mask",)

    def __init__(
        self,
        *,
        mask_thresh: float,
        min_side: float,
        rank_by: str,
        maxima: str,
        fallback: str,
        max_objects: int,
        min_area: float,
    ):
        given = {"rank_by": rank_by, "maxima": maxima, "fallback": fallback}
        check_choices("move", given, CHOICES)
        check_max_objects("move", max_objects)
        self.mask_thresh = mask_thresh
        self.min_side = min_side
        self.rank_by = rank_by
        self.border = 1 if maxima == "inclusive" else 0
        self.square_fallback = fallback == "square"
        self.max_objects, self.min_area = max_objects, min_area

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Map of the soft foreground, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the mask, (B, H', W') in [0, 1] at the padded size, differentiable.

        Raises: UserError for a map that is not a mask.
        """
        if (features.facet, features.data.shape[1], features.strides) != ("mask", 1, (1, 1)):
            raise UserError(
                f"move reads a mask of one channel and stride 1, not the facet {features.facet!r} "
                "of "
                f"{features.data.shape[1]} channels; use a segmenter, such as move_vits8, as "
                "backbone"
            )
        return features.data[:, 0]

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with its components as masks (N, H', W').

        The score is the mean of the soft mask inside the component. The padding is cut off first,
        and no mask has pixels there. Without a component, the box is that of the fallback, and the
        mask and the score are those of the whole image.
        """
        device = features.data.device
        heatmaps = self.heatmap(features).float().cpu().numpy()
        return [
            self._draw(heatmap, size).to(device)
            for heatmap, size in zip(heatmaps, features.image_sizes, strict=True)
        ]

    def _draw(self, padded: np.ndarray, size: tuple[int, int]) -> PseudoBoxes:
        """Return the boxes of one padded mask (H', W'). Args: size: (H, W) without padding."""
        height, width = size
        heatmap = padded[:height, :width]
        components = self._components(heatmap > self.mask_thresh)
        if components:
            boxes = [
                (columns.start, rows.start, columns.stop - self.border, rows.stop - self.border)
                for _, (rows, columns) in components
            ]
            masks = [mask for mask, _ in components]
        else:
            side = height - 1
            boxes = [
                (0, 0, min(side, width), side) if self.square_fallback else (0, 0, width, height)
            ]
            masks = [np.ones(size, dtype=bool)]
        scores = [float(heatmap[mask].mean(dtype=np.float64)) for mask in masks]
        on_grid = np.zeros((len(masks), *padded.shape), dtype=bool)
        on_grid[:, :height, :width] = masks
        return PseudoBoxes(
            torch.tensor(boxes), torch.tensor(scores), size, torch.from_numpy(on_grid)
        )

    def _components(self, foreground: np.ndarray) -> list[tuple[np.ndarray, tuple[slice, slice]]]:
        """Return masks (H, W) and rectangles (rows, columns) of the components that count.

        The largest one comes first.
        """
        component_ids, count = ndimage.label(foreground, TOUCHING_CORNERS)
        rectangles = ndimage.find_objects(component_ids)
        pixels = np.bincount(component_ids.ravel(), minlength=count + 1)[1:]
        areas = np.array([(r.stop - r.start) * (c.stop - c.start) for r, c in rectangles])
        size = pixels if self.rank_by == "pixels" else areas
        # This order is read from its end: the later one among equals comes first.
        ascending = np.argsort(size, kind="stable")
        least = (self.min_side * foreground.shape[0]) ** 2
        counting = [i for i in ascending[::-1] if areas[i] > least]
        further = [i for i in counting[1:] if pixels[i] >= self.min_area * foreground.size]
        kept = counting[:1] + further[: self.max_objects - 1]
        return [(component_ids == i + 1, rectangles[i]) for i in kept]
