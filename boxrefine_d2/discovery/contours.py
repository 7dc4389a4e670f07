"""Boxes around the contours of the bright parts of a heatmap.

Sources: box-refinement paper (ICCV 2023); `generate_bbox` of its release.

Shapes: B images, H x W pixels of the input, N boxes.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert, nms

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.borders import border_boxes
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_choices, check_max_objects
from .rule import DiscoveryRule

_LEVELS = 256

CHOICES = {
    "score": ("heatmap", "thresholded"),
    "nms_format": ("xyxy", "xywh"),
    "fallback": ("none", "pixels"),
}


@DISCOVERY_REGISTRY.register_as("contours")
class Contours(DiscoveryRule):
    """Rule that returns boxes around the contours of a heatmap, best first.

    The defaults follow the paper. Outer borders and borders of holes both give boxes (OpenCV's
    RETR_TREE on Suzuki's borders). A box around a hole has a low score. A heatmap without a bright
    part has no contour, nor has one that is constant or not finite.

    Args (keyword):
        normalise: stretch the heatmap to [0, 1] first (release).
        quantise: read the heatmap as grey levels of matplotlib's `cubehelix` (release), compared
            strictly. There are 208 levels; those above 127 correspond to m >= 0.5.
        threshold: share of the maximum from which a pixel is bright.
        min_area: share of the image; a box must cover more.
        score: score of a box. "heatmap" is the mean of the heatmap in the box. "thresholded" takes
            pixels that are not bright as 0 (release).
        nms_iou: if two boxes have a larger IoU, only the better one is kept.
        nms_format: "xyxy" or "xywh". "xywh" reads (x, y, w, h) as corners and misses most overlaps
            (release).
        drop_ratio: share of the best score; a box must have at least that score.
        fallback: result without a contour. "none" is no box; "pixels" is two boxes of one pixel
            with score 0 (release).
        max_objects: k, the most boxes per image.
    """

    facets = ("heatmap",)

    def __init__(
        self,
        *,
        normalise: bool,
        quantise: bool,
        threshold: float,
        min_area: float,
        score: str,
        nms_iou: float,
        nms_format: str,
        drop_ratio: float,
        fallback: str,
        max_objects: int,
    ):
        given = {"score": score, "nms_format": nms_format, "fallback": fallback}
        check_choices("contours", given, CHOICES)
        check_max_objects("contours", max_objects)
        self.normalise, self.quantise = normalise, quantise
        self.threshold, self.min_area = threshold, min_area
        self.scores_bright_only = score == "thresholded"
        self.nms_iou, self.nms_on_sizes = nms_iou, nms_format == "xywh"
        self.drop_ratio, self.max_objects = drop_ratio, max_objects
        self.fallback = [[0, 0, 1, 1]] * 2 if fallback == "pixels" else []

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image; the padding is cut off first.

        Raises: UserError for a map that is not a heatmap.
        """
        if (features.facet, features.data.shape[1], features.strides) != ("heatmap", 1, (1, 1)):
            raise UserError(
                "contours reads a heatmap of one channel and stride 1, not the facet "
                f"{features.facet!r} of "
                f"{features.data.shape[1]} channels"
            )
        heatmaps = features.data[:, 0].float().cpu().numpy()
        return [
            self._draw(heatmap[: size[0], : size[1]]).to(features.data.device)
            for heatmap, size in zip(heatmaps, features.image_sizes, strict=True)
        ]

    def _draw(self, heatmap: np.ndarray) -> PseudoBoxes:
        """Return the boxes of one heatmap (H, W)."""
        size = (heatmap.shape[0], heatmap.shape[1])
        levels = self._levels(heatmap)
        bright = self._bright(levels)
        boxes = border_boxes(bright)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[sides.prod(axis=1) > self.min_area * heatmap.size]
        if not len(boxes):
            fallback = torch.tensor(self.fallback, dtype=torch.float32).reshape(-1, 4)
            return PseudoBoxes(fallback, torch.zeros(len(fallback)), size)
        scored = np.where(bright, levels, 0.0) if self.scores_bright_only else levels
        means = [scored[y1:y2, x1:x2].mean(dtype=np.float64) for x1, y1, x2, y2 in boxes]
        return self._best(torch.from_numpy(boxes).float(), torch.tensor(means), size)

    def _levels(self, heatmap: np.ndarray) -> np.ndarray:
        """Return the values (H, W) in [0, 1] that are compared with the threshold and averaged."""
        low, high = float(heatmap.min()), float(heatmap.max())
        if not low < high < np.inf:  # constant, or not finite
            return np.zeros_like(heatmap)
        if self.normalise:
            heatmap = (heatmap - low) / (high - low)
        if not self.quantise:
            return heatmap
        index = np.clip((heatmap * _LEVELS).astype(np.int64), 0, _LEVELS - 1)
        return cubehelix_grey()[index] / np.float32(_LEVELS - 1)

    def _bright(self, levels: np.ndarray) -> np.ndarray:
        high = levels.max()
        if high <= 0:
            return np.zeros(levels.shape, dtype=bool)
        if self.quantise:
            grey = np.rint(levels * (_LEVELS - 1))
            bright: np.ndarray = grey > int(self.threshold * grey.max())
        else:
            bright = levels >= self.threshold * high
        return bright

    def _best(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> PseudoBoxes:
        """Return the boxes that pass non-maximum suppression and the score cut, best first.

        Args: boxes: (N, 4) with N >= 1.  scores: (N,).
        """
        read = box_convert(boxes, "xyxy", "xywh") if self.nms_on_sizes else boxes
        kept = nms(read, scores.float(), self.nms_iou)
        least = self.drop_ratio * scores.max()
        kept = kept[scores[kept] > least if self.quantise else scores[kept] >= least]
        kept = kept[: self.max_objects]
        return PseudoBoxes(boxes[kept], scores[kept].float(), size)


@cache
def cubehelix_grey() -> np.ndarray:
    """Return OpenCV's grey of each colour of matplotlib's `cubehelix` (Green 2011).

    The release reads a coloured heatmap in this way.

    Returns: (256,) float32 whole numbers.
    """
    x = np.arange(_LEVELS) / (_LEVELS - 1)
    angle = 2 * np.pi * (1 / 6 - 1.5 * x)
    strength = x * (1 - x) / 2
    red = x + strength * (-0.14861 * np.cos(angle) + 1.78277 * np.sin(angle))
    green = x + strength * (-0.29227 * np.cos(angle) - 0.90649 * np.sin(angle))
    blue = x + strength * 1.97294 * np.cos(angle)
    colours = np.clip(np.stack([red, green, blue]), 0, 1).astype(np.float32) * np.float32(255)
    red, green, blue = colours.astype(np.uint8).astype(np.int64)
    # 0.299, 0.587 and 0.114 in units of 2 ** -15, rounded
    levels: np.ndarray = ((9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15).astype(
        np.float32
    )
    return levels
