"""Box supervision: a box is enough to learn the extent of its object on a map of keys.

The two terms are those of BoxInst (arXiv:2012.02310), which learns masks from boxes:

- projection: the largest foreground of each row and of each column of cells is the box's;
- pairwise: neighbouring cells of similar colour are both foreground or both background.

BoxInst predicts the foreground by a network. Here it comes from the keys (ours): a cell is
foreground as far as its key is more similar to the mean key inside the box than to the mean key
outside of all boxes. The terms therefore refine the keys.

Shapes: M boxes of an image, h x w cells, N = h * w, C channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COLOUR_SCALE = (
    2.0  # theta of BoxInst: difference in CIELAB that makes two colours e times less alike
)
HALF = 0.5  # share of a cell from which on it counts as inside


@dataclass(frozen=True)
class BoxSupervision:
    """Projection and pairwise terms of the boxes of one image.

    Attributes:
        scale: logit per unit of the difference of two cosine similarities.
        colour_similarity: least similarity of colours of a pair of cells, tau of BoxInst.
        distance: distance of the two cells of a pair, along each axis; the dilation of BoxInst.
    """

    scale: float
    colour_similarity: float
    distance: int

    def __call__(self, keys: Tensor, shares: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projection term and the pairwise term of each box, (M,) and (M,).

        Args:
            keys: (N, C) float32, row-major.
            shares: (M, h, w) in [0, 1], the share of each cell inside each box; all are `useful`.
            colours: (h, w, 3) mean colours of the cells in CIELAB.
        """
        logits = foreground_logits(keys, shares, self.scale)
        return projection_term(logits.sigmoid(), shares), self._pairwise(logits, shares, colours)

    def _pairwise(self, logits: Tensor, shares: Tensor, colours: Tensor) -> Tensor:
        """Return the mean of -log P(same label) over the pairs of similar colour, (M,).

        P = p q + (1 - p)(1 - q) for the foregrounds p and q of the two cells. At least one cell of
        a pair is inside the box. BoxInst's code divides by the number of such pairs, its paper by
        the number of pairs of any colour; we follow the code.
        """
        inside = (shares >= HALF).float()
        losses, counts = logits.new_zeros(len(logits)), logits.new_zeros(len(logits))
        step = self.distance
        for down, right in ((0, step), (step, 0), (step, step), (step, -step)):
            one, other = _neighbours(logits, down, right)
            both = F.logsigmoid(one) + F.logsigmoid(other)
            neither = F.logsigmoid(-one) + F.logsigmoid(-other)
            first, second = _neighbours(colours.movedim(2, 0), down, right)
            similarity = (-(first - second).norm(dim=0) / COLOUR_SCALE).exp()
            counted = torch.maximum(*_neighbours(inside, down, right))
            counted = counted * (similarity >= self.colour_similarity)
            losses = losses - (torch.logaddexp(both, neither) * counted).sum(dim=(1, 2))
            counts = counts + counted.sum(dim=(1, 2))
        return losses / counts.clamp(min=1)


def foreground_logits(keys: Tensor, shares: Tensor, scale: float) -> Tensor:
    """Return the logit of the foreground of each box, (M, h, w).

    It is scale * (cos(k, inside) - cos(k, outside)), with the mean unit key inside the box, and
    that outside of all boxes.
    """
    unit = F.normalize(keys, dim=1)
    outside = F.normalize((1 - shares.amax(dim=0)).flatten() @ unit, dim=0)
    inside = F.normalize(shares.flatten(1) @ unit, dim=1)
    logits = scale * (inside - outside) @ unit.T
    return logits.reshape(shares.shape)


def projection_term(foreground: Tensor, shares: Tensor) -> Tensor:
    """Return 1 - dice of the largest values along rows, plus the same along columns, (M,).

    Args: foreground, shares: (M, h, w) in [0, 1].
    """
    terms = [1 - _dice(foreground.amax(dim=axis), shares.amax(dim=axis)) for axis in (1, 2)]
    return terms[0] + terms[1]


def box_shares(boxes: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Return the share of each cell inside each box, (M, h, w).

    Args: boxes: (M, 4) normalised (cx, cy, w, h).
    """
    centres, sizes = boxes.split(2, dim=1)
    across, down = (
        _overlap(
            centres[:, axis] - sizes[:, axis] / 2, centres[:, axis] + sizes[:, axis] / 2, cells
        )
        for axis, cells in enumerate(reversed(grid_size))
    )
    return down[:, :, None] * across[:, None, :]


def useful(shares: Tensor) -> Tensor:
    """Return which boxes have a cell, (M,) bool; all are False if no cell lies outside of them."""
    if not len(shares):
        return shares.new_zeros(0, dtype=torch.bool)
    outside = bool((shares.amax(dim=0) < HALF).any())
    return (shares >= HALF).flatten(1).any(dim=1) & outside


def _overlap(start: Tensor, end: Tensor, cells: int) -> Tensor:
    """Return the share of each cell of an axis between two places, (M, cells)."""
    cell = torch.arange(cells, device=start.device)
    last = torch.minimum(end[:, None] * cells, cell + 1.0)
    return (last - torch.maximum(start[:, None] * cells, cell.float())).clamp(0, 1)


def _dice(one: Tensor, other: Tensor) -> Tensor:
    squares = one.square().sum(dim=1) + other.square().sum(dim=1)
    return 2 * (one * other).sum(dim=1) / squares.clamp(min=1e-5)


def _neighbours(values: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Return two views of (..., h, w): cells that have a neighbour at an offset, and those."""
    h, w = values.shape[-2:]
    left = max(0, -right)
    width = w - abs(right)
    start = values[..., : max(0, h - down), left : left + max(0, width)]
    return start, values[..., down:, left + right : left + right + max(0, width)]
