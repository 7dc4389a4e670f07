"""TokenCut's eigenvector, refined by ARM and SGRM: LCAR without its labels (AAAI 2023).

Shapes: N masks on H x W pixels.
"""

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.masks.steps import MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .affinity_refinement import min_max, refine_by_affinity
from .build import DISCOVERY_REGISTRY
from .largest_contour import largest_contour
from .reprediction import Repredictor
from .superpixels import felzenszwalb_superpixels
from .tokencut import Bipartition, TokenCut, bipartition


@DISCOVERY_REGISTRY.register_as("tokencut_refined")
class TokenCutRefined(TokenCut):
    """Rule with one box per image, around the mask that the image makes of TokenCut's eigenvector.

    The rule itself returns TokenCut's boxes, and the eigenvectors as soft masks. The mask steps
    read the image. They refine the eigenvector and keep the component with the largest contour.

    LCAR leaves open what an empty mask becomes. SGRM may predict one for a small object, because it
    contradicts few reliable pixels. Here the part of the map above its mean takes its place, as
    without SGRM. A map without such a part gives the whole image.

    Args (keyword):
        tau, eps, tie_tolerance: see `TokenCut`.
        input_side: side in pixels of the square to which images are squeezed; 0 keeps their shape.
        arm: the parameters of `refine_by_affinity`; False for no such step.
        sgrm: those of `felzenszwalb_superpixels` and `Repredictor`; False for no such step. Without
            it, the mask is the part of the map above its mean, as in TokenCut.
    """

    def __init__(
        self,
        *,
        tau: float,
        eps: float,
        tie_tolerance: float,
        input_side: int,
        arm: dict[str, Any] | Literal[False],
        sgrm: dict[str, Any] | Literal[False],
    ):
        super().__init__(
            tau=tau,
            eps=eps,
            tie_tolerance=tie_tolerance,
            bilateral=False,
            max_objects=1,
            min_area=0,
        )
        self.input_side = input_side
        self.mask_steps = MaskSteps(
            refine=partial(refined_masks, arm=arm, sgrm=sgrm),
            reads_soft_masks=True,
            boxes_from_masks=True,
        )

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image: TokenCut's, with the eigenvector as soft mask."""
        cut = self.cut(features)
        sides = bipartition(cut.eigenvector, self.tie_tolerance)
        maps = _scaled(sides, features)
        found = self.boxes_of(cut, sides, features)
        return [replace(boxes, soft_masks=one) for boxes, one in zip(found, maps.split(1))]

    @torch.no_grad()
    def eigenvector_maps(self, features: FeatureMap) -> Tensor:
        """Return the eigenvectors of images, with TokenCut's sign, (B, h, w) float32 in [0, 1]."""
        sides = bipartition(self.cut(features).eigenvector, self.tie_tolerance)
        return _scaled(sides, features)


def _scaled(sides: Bipartition, features: FeatureMap) -> Tensor:
    return min_max(sides.eigenvector.unflatten(1, features.grid_size)).float()


def refined_masks(
    image: np.ndarray,
    soft_masks: np.ndarray,
    *,
    arm: dict[str, Any] | Literal[False],
    sgrm: dict[str, Any] | Literal[False],
) -> np.ndarray:
    """Return the object of each soft mask, (N, H, W) bool; the whole image for a constant one.

    Args:
        image: (H, W, 3) uint8 RGB.
        soft_masks: (N, H, W) float32.
        arm, sgrm: see `TokenCutRefined`.
    """
    maps = torch.from_numpy(soft_masks)
    images = torch.from_numpy(image).permute(2, 0, 1)[None].expand(len(maps), -1, -1, -1) / 255
    maps = refine_by_affinity(maps, images, **arm) if arm else min_max(maps)
    masks = maps > maps.mean(dim=(1, 2), keepdim=True)
    if sgrm:
        size = {key: sgrm[key] for key in ("scale", "sigma", "min_size")}
        superpixels = torch.from_numpy(felzenszwalb_superpixels(image, **size)).expand(maps.shape)
        repredictor = Repredictor(**{key: sgrm[key] for key in sgrm if key not in size})
        predicted = repredictor(maps, images, superpixels).masks
        masks = torch.where(predicted.flatten(1).any(dim=1)[:, None, None], predicted, masks)
    found = [largest_contour(mask)[0] for mask in masks.numpy()]
    whole = np.ones(image.shape[:2], dtype=bool)
    return np.array([mask if mask.any() else whole for mask in found]).reshape(soft_masks.shape)
