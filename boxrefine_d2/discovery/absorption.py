"""Absorption: an object is where a random walk over similar patches is late to leave the image.

The absorption time of a Markov chain whose absorbing states lie beyond the image's border is the
saliency of Jiang et al. (ICCV 2013, doi:10.1109/ICCV.2013.209). They walk over superpixels by their
colours. Here a walk goes over patches by the similarity of a network's features (ours, not
published). It needs no training and adds one prior to the map: backgrounds reach the border.

Shapes: B images, N = h * w cells in row-major order, C channels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import solveh_banded
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.components import largest_component
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .rule import DiscoveryRule


def absorption_times(data: Tensor, temperature: float, reach: int) -> np.ndarray:
    """Return the mean number of steps of a walk from each cell until it leaves the image.

    A step from cell i to a cell j at most `reach` cells away has a probability in proportion to
    w_ij = exp((cos(i, j) - 1) / temperature). A border cell has one more way to go, out of the
    image, with the weight 1. With degrees D, the times solve (D - W) t = D 1. The matrix is
    banded, so the work grows as N * (reach * w)^2.

    Args:
        data: (B, C, h, w) features.
        temperature: difference of cosine similarity that makes a step e times less likely.
        reach: largest step along an axis, in cells.
    Returns: (B, h, w) float64.
    """
    unit = F.normalize(data.float(), dim=1)
    h, w = data.shape[2:]
    weights = [
        (down, right, ((_cosine(unit, down, right) - 1) / temperature).double().exp())
        for down in range(min(reach, h - 1) + 1)
        for right in range(-reach, reach + 1)
        if (down or right > 0) and abs(right) < w
    ]
    degree = torch.zeros(len(data), h, w, dtype=torch.float64)
    degree[:, [0, -1]] = 1
    degree[:, :, [0, -1]] = 1
    bands = np.zeros((len(data), 1 + max([d * w + r for d, r, _ in weights], default=0), h * w))
    for down, right, weight in weights:
        weight = weight.cpu()
        start, end = _pair(degree, down, right)
        start += weight
        end += weight
        # band k of column i holds the entry of the cells i + k and i
        padded = torch.zeros(len(data), h, w, dtype=torch.float64)
        _pair(padded, down, right)[0].copy_(weight)
        bands[:, down * w + right] -= padded.flatten(1).numpy()
    sums = degree.flatten(1).numpy()
    bands[:, 0] = sums
    times = [solveh_banded(band, right, lower=True) for band, right in zip(bands, sums)]
    return np.stack(times).reshape(-1, h, w)


def _pair(cells: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Return two views of (..., h, w): cells that have a neighbour at an offset, and those."""
    h, w = cells.shape[-2:]
    left = max(0, -right)
    start = cells[..., : h - down, left : w - max(0, right)]
    return start, cells[..., down:, left + right : w - max(0, right) + right]


def _cosine(unit: Tensor, down: int, right: int) -> Tensor:
    start, end = _pair(unit, down, right)
    return (start * end).sum(dim=1)


def otsu_split(values: np.ndarray) -> tuple[float, float]:
    """Return Otsu's threshold, and the share of the variance that the two sides explain.

    Source: N. Otsu, 1979, on the values themselves instead of a histogram.

    Args: values: any shape. The upper side is above the threshold; it is empty for equal values.
    """
    ordered = np.sort(values, axis=None)
    count, total = len(ordered), ordered.sum()
    variance = ordered.var()
    if count < 2 or variance < np.finfo(np.float64).eps * max(1.0, ordered[-1] ** 2):
        return float(ordered[-1]), 0.0
    lower = np.arange(1, count)
    sums = np.cumsum(ordered)[:-1]
    apart = sums / lower - (total - sums) / (count - lower)
    between = lower * (count - lower) * apart**2 / count**2
    best = int(between.argmax())
    return float(ordered[best]), float(between[best] / variance)


@DISCOVERY_REGISTRY.register_as("absorption")
class Absorption(DiscoveryRule):
    """Rule with one box per image, around the largest component of late absorption.

    The foreground is the upper side of Otsu's split of the times. The score is the share of their
    variance that the split explains.

    Args (keyword):
        temperature: see `absorption_times`.
        reach: see `absorption_times`.
        max_objects: most components of the foreground per image.
        min_area: share of the grid that a further component must cover.
    """

    def __init__(self, *, temperature: float, reach: int, max_objects: int, min_area: float):
        if temperature <= 0:
            raise UserError(f"absorption: temperature is {temperature}; it must be above 0")
        if reach < 1:
            raise UserError(f"absorption: reach is {reach}, but at least 1 cell is needed")
        check_max_objects("absorption", max_objects)
        self.temperature, self.reach = temperature, reach
        self.max_objects, self.min_area = max_objects, min_area

    def times(self, features: FeatureMap) -> np.ndarray:
        """Return the absorption times, (B, h, w) float64."""
        return absorption_times(features.data.detach(), self.temperature, self.reach)

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, with the component as mask.

        An image of equal cells has its object in the middle, the farthest place from the border.
        """
        masks, scores = [], []
        for times in self.times(features):
            threshold, explained = otsu_split(times)
            foreground = times > threshold
            if not foreground.any():
                foreground = np.ones_like(foreground)
            first = largest_component(foreground)
            masks.append(further_objects(foreground, first, self.max_objects, self.min_area))
            scores.append(shared_score(explained, masks[-1]))
        return pseudo_boxes_of(masks, scores, features)
