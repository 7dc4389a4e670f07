"""Superpixels of an image, the means of a map over them, and their votes.

Shapes: B images of H x W pixels.
"""

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.masks.checks import check_rgb


def felzenszwalb_superpixels(
    image: np.ndarray, *, scale: float, sigma: float, min_size: int
) -> np.ndarray:
    """Return the superpixels of Felzenszwalb and Huttenlocher (IJCV 2004), by scikit-image.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: a larger value gives larger superpixels; it is relative to 255 levels.
        sigma: width of the Gaussian that smooths the image first, in pixels.
        min_size: smallest number of pixels of a superpixel.
    Returns: (H, W) int64, numbers from 0 without gaps. A plain image is one superpixel.
    Raises: ValueError for another shape or type.
    """
    # the import takes a fifth of a second, and only this step needs it
    from skimage.segmentation import felzenszwalb

    check_rgb(image)
    superpixels: np.ndarray = felzenszwalb(image, scale=scale, sigma=sigma, min_size=min_size)
    return superpixels.astype(np.int64)


def superpixel_means(maps: Tensor, superpixels: Tensor) -> Tensor:
    """Return for each pixel the mean of the map over the pixel's superpixel, (B, H, W) float64.

    Args: maps: (B, H, W).  superpixels: (B, H, W) int64, numbers of each image from 0.
    """
    ids = _distinct(superpixels)
    values = maps.double().flatten()
    means = torch.bincount(ids, weights=values) / torch.bincount(ids)
    return means[ids].view(maps.shape)


def superpixel_votes(predicted: Tensor, superpixels: Tensor) -> Tensor:
    """Return for each pixel whether most pixels of its superpixel are object; a tie is background.

    Args: predicted: (B, H, W) bool.  superpixels: (B, H, W) int64, numbers of each image from 0.
    """
    return superpixel_means(predicted, superpixels) > 0.5


def _distinct(superpixels: Tensor) -> Tensor:
    """Return flat numbers of superpixels, (B * H * W,), of which no two images share one."""
    counts = superpixels.amax(dim=(1, 2)) + 1
    firsts = counts.cumsum(0) - counts
    return (superpixels + firsts[:, None, None]).flatten()
