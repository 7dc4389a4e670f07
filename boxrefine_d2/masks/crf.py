"""The dense CRF of MaskCut (arXiv:2301.11320), computed by the optional package pydensecrf.

The CRF is that of Krähenbühl and Koltun (arXiv:1210.5644) with two labels, background and object.
The mask is weak evidence: 1 nat for the label of each pixel. Neighbouring pixels attract each
other, and pixels of similar colour attract each other.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from boxrefine_d2.errors import UserError

from .agreement import unless_changed
from .checks import check_masks, check_rgb


def require_pydensecrf() -> Any:
    """Return the module of pydensecrf; a command may call this before its first image.

    Raises: UserError, with the install command, if pydensecrf is missing.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise UserError(
            f"the CRF needs pydensecrf ({error}): pip install 'boxrefine_d2[crf]', "
            "which compiles it, or leave the CRF out with --set crf=false"
        ) from error
    return densecrf


class DenseCRF:
    """The pairwise terms of one image; their lattices are built once for all masks.

    Args:
        image: (H, W, 3) uint8 RGB.
        smooth_xy: width of the term between neighbours, in pixels.
        smooth_weight: weight of the term between neighbours.
        colour_xy: width of the term between similar colours, in pixels.
        colour_rgb: width of the term between similar colours, in levels of 256.
        colour_weight: weight of the term between similar colours.
        iterations: iterations of the mean field.
    Raises: ValueError for another shape or type; UserError without pydensecrf, or for a number out
        of range.
    """

    def __init__(
        self,
        image: np.ndarray,
        *,
        smooth_xy: float,
        smooth_weight: float,
        colour_xy: float,
        colour_rgb: float,
        colour_weight: float,
        iterations: int,
    ):
        check_rgb(image)
        widths = {"smooth_xy": smooth_xy, "colour_xy": colour_xy, "colour_rgb": colour_rgb}
        for name, width in widths.items():
            if not width > 0:
                raise UserError(f"CRF: {name} is {width}, but it must be above 0")
        self.size = image.shape[:2]
        self.iterations = iterations
        height, width = self.size
        self._crf = require_pydensecrf().DenseCRF2D(width, height, 2)
        self._crf.addPairwiseGaussian(sxy=smooth_xy, compat=smooth_weight)
        self._crf.addPairwiseBilateral(
            sxy=colour_xy,
            srgb=colour_rgb,
            rgbim=np.array(image, order="C"),  # a copy: it must be writable
            compat=colour_weight,
        )

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        """Return the pixels (H, W) bool with a higher marginal for the object than the background.

        Args: mask: (H, W) bool.
        """
        self._crf.setUnaryEnergy(unary_energy(mask))
        marginals = np.array(self._crf.inference(self.iterations)).reshape(2, *self.size)
        foreground: np.ndarray = marginals[1] > marginals[0]
        return foreground


def unary_energy(mask: np.ndarray) -> np.ndarray:
    """Return (2, H * W) float32: -log softmax of (1 - mask, mask), background first."""
    logits = np.stack([~mask.ravel(), mask.ravel()]).astype(np.float64)
    energy: np.ndarray = (np.log(np.exp(logits).sum(axis=0)) - logits).astype(np.float32)
    return energy


def crf_masks(image: np.ndarray, masks: np.ndarray, *, min_iou: float, **crf: Any) -> np.ndarray:
    """Return each mask after the CRF, holes filled; the results may overlap, as in MaskCut.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        min_iou: least IoU of a result with its mask; a result below it becomes an empty mask. 0
            keeps every result.
        crf: keyword arguments of `DenseCRF`.
    Returns: (N, H, W) bool.
    """
    check_masks(masks, image)
    field = DenseCRF(image, **crf)
    refined = [ndimage.binary_fill_holes(field(mask)) for mask in masks]
    kept = [unless_changed(*pair, min_iou) for pair in zip(refined, masks, strict=True)]
    return np.array(kept, dtype=np.bool_).reshape(masks.shape)
