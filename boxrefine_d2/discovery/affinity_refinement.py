"""ARM: refinement of a map by its image; pixels of similar colour exchange their values.

Source: LCAR (Coarse2Fine, AAAI 2023), affinity refinement module. It derives from the pixel
refinement of AFA (arXiv:2203.02664), which has neighbours at several distances.

Shapes: B images of H x W pixels, N neighbours of a pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import check_choice

# variant -> (distances of the neighbours in pixels, scale of the differences)
VARIANTS: dict[str, tuple[tuple[int, ...], float]] = {
    "literal": ((1,), 1.0),
    "afa": ((1, 2, 4, 8, 12, 24), 0.3),
}
_FLOOR = 1e-8  # is added to a standard deviation


@dataclass(frozen=True)
class Affinities:
    """Weights of the neighbours of each pixel.

    Attributes:
        weights: (N, B, H, W) float32; each neighbour is one plane, so that a step reads it once.
        offsets: for each neighbour its distance (down, right), in pixels.
    """

    weights: Tensor
    offsets: tuple[tuple[int, int], ...]

    def spread(self, maps: Tensor, keep: float) -> Tensor:
        """Return the maps after one step: keep x the pixel + (1 - keep) x its weighted neighbours.

        Args: maps: (B, H, W).
        """
        result = keep * maps
        neighbours = _neighbours(maps[:, None], self.offsets)
        for weights, values in zip(self.weights, neighbours, strict=True):
            result.addcmul_(weights, values[:, 0], value=1 - keep)
        return result


def pixel_affinities(images: Tensor, *, variant: str, position_weight: float) -> Affinities:
    """Return the affinities of each pixel to its neighbours; they sum to 1 + position_weight.

    A softmax over the neighbours reads the squared difference of colour, in units of the standard
    deviation among the neighbours. A second one reads the distance in the same way.

    Args:
        images: (B, 3, H, W) RGB in [0, 1]; the range does not change the result.
        variant: "literal" has the 8 pixels around a pixel, as LCAR's text; "afa" has 48, at six
            distances, as the code of AFA.
        position_weight: weight of the second softmax.
    Raises: UserError for another variant.
    """
    check_choice("ARM: variant", variant, VARIANTS)
    distances, scale = VARIANTS[variant]
    offsets = tuple(
        (distance * down, distance * right)
        for distance in distances
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if down or right
    )
    images = images.float()
    mean = reduce(torch.add, _neighbours(images, offsets)) / len(offsets)
    squares = ((values - mean).square_() for values in _neighbours(images, offsets))
    spread = (reduce(torch.add, squares) / (len(offsets) - 1)).sqrt_()
    unit = ((spread + _FLOOR) * scale).reciprocal_()
    weights = images.new_empty(len(offsets), len(images), *images.shape[2:])
    for plane, values in zip(weights, _neighbours(images, offsets), strict=True):
        torch.mean((values - images).mul_(unit).square_(), dim=1, out=plane)
    weights.neg_().sub_(weights.amax(dim=0)).exp_()  # in place: it is the largest tensor
    weights.div_(weights.sum(dim=0))
    lengths = torch.tensor(offsets, dtype=torch.float64).norm(dim=1)
    position = -(lengths / ((lengths.std() + _FLOOR) * scale)).square()
    weights += (position_weight * position.softmax(dim=0)).to(weights).view(-1, 1, 1, 1)
    return Affinities(weights, offsets)


def refine_by_affinity(
    maps: Tensor,
    images: Tensor,
    *,
    variant: str = "afa",
    steps: int = 50,
    keep: float = 0.1,
    position_weight: float = 0.01,
) -> Tensor:
    """Return each map after `steps` steps between its pixels, scaled to [0, 1].

    A constant map becomes 0. The affinities take 4 N bytes a pixel.

    Args:
        maps: (B, H, W) of any range.
        images: (B, 3, H, W) RGB in [0, 1], on the device of the maps.
        variant, position_weight: see `pixel_affinities`.
        keep: share of its own value that a pixel keeps in a step (eta).
    Returns: (B, H, W) float32 in [0, 1].
    """
    centred = min_max(maps.float()) - 0.5
    if steps:
        affinities = pixel_affinities(images, variant=variant, position_weight=position_weight)
        for _ in range(steps):
            centred = affinities.spread(centred, keep)
    return min_max(centred)


def min_max(maps: Tensor) -> Tensor:
    """Return each map (B, H, W) scaled to [0, 1]; a constant map becomes 0."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    constant = high - low <= 1e-6 * torch.maximum(high.abs(), low.abs())
    return (maps - low) / torch.where(constant, torch.inf, high - low)


def _neighbours(values: Tensor, offsets: tuple[tuple[int, int], ...]) -> Iterator[Tensor]:
    """Yield for each offset the neighbours' values (B, C, H, W), as views of one padded copy.

    Outside the image, the nearest pixel of the border is repeated.
    """
    reach = max(max(map(abs, offset)) for offset in offsets)
    height, width = values.shape[2:]
    padded = F.pad(values, (reach,) * 4, mode="replicate")
    for down, right in offsets:
        yield padded.narrow(2, reach + down, height).narrow(3, reach + right, width)
