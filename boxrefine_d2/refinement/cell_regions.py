"""Regions of the cells of a map, from the shares of the cells that masks fill.

Shapes: B images, M masks of an image, h x w cells, N = h * w.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.losses import BACKGROUND, IGNORED
from boxrefine_d2.losses.box_supervision import box_shares

NO_CELL = "no region fills a cell"
NOTHING_OUTSIDE = "one region has all cells, so there is nothing to push apart"
# A share is known up to this: reduced masks are stored in 256 levels.
PRECISION = 1 / 255


@dataclass(frozen=True)
class CellRegions:
    """Function from the shares of the cells to a region of each cell, for `PairLoss`.

    A cell belongs to the one mask that fills at least `border` of it. It lies outside if all masks
    together fill at most 1 - `border` of it. Every other cell is ignored: an edge cuts it, or
    several masks fill it.

    Attributes:
        border: least share of a cell that one side must fill, above one half.
        outside: whether cells outside of all masks are background. If not, they are ignored.
        apart: whether two masks of an image are pushed apart; see `PairLoss.regions_apart`.
    """

    border: float
    outside: bool
    apart: bool

    def __call__(self, shares: Sequence[Tensor], grid_size: tuple[int, int]) -> Tensor:
        """Return the regions of the cells of a batch, (B, N) int64.

        All cells of an image that has a `fault` are ignored.

        Args:
            shares: for each image the shares of the masks, (M, a, b) in [0, 1], on any grid.
            grid_size: (h, w).
        """
        return torch.stack([self._useful(self.of_image(each, grid_size)) for each in shares])

    def inside(
        self, shares: Sequence[Tensor], boxes: Sequence[Tensor], grid_size: tuple[int, int]
    ) -> Tensor:
        """Return the regions of a batch as `__call__`, of masks and boxes that agree, (B, N).

        A cell belongs to a mask if it also lies inside a box, and it lies outside if it also lies
        outside of all boxes. Where masks and boxes disagree, cells are ignored.

        Args: boxes: for each image (K, 4), normalised (cx, cy, w, h); K may be 0.
        """
        rows = []
        for masks, boxes_of_image in zip(shares, boxes, strict=True):
            regions = self.of_image(masks, grid_size)
            boxed = self.of_image(union_of(box_shares(boxes_of_image, grid_size)), grid_size)
            agree = torch.where(regions > BACKGROUND, boxed > BACKGROUND, boxed == BACKGROUND)
            rows.append(self._useful(regions.masked_fill(~agree, IGNORED)))
        return torch.stack(rows)

    def of_image(self, shares: Tensor, grid_size: tuple[int, int]) -> Tensor:
        """Return the regions of the cells of one image, (N,) int64, also if it has a `fault`.

        Args: shares: (M, a, b), M may be 0.
        """
        on_grid = shares_on_grid(shares, grid_size).flatten(1)
        full = on_grid >= self.border - PRECISION
        single = full.sum(dim=0) == 1
        regions = torch.full(on_grid.shape[1:], IGNORED, device=shares.device)
        if self.outside:
            regions[on_grid.sum(dim=0) <= 1 - self.border + PRECISION] = BACKGROUND
        if len(shares):
            regions = torch.where(single, full.to(torch.uint8).argmax(dim=0) + 1, regions)
        return regions

    def fault(self, regions: Tensor) -> str | None:
        """Return why an image is of no use, or None if two of its cells can be pushed apart.

        Args: regions: result of `of_image`.
        """
        kinds = set(regions.unique().tolist()) - {IGNORED}
        if not kinds - {BACKGROUND}:
            return NO_CELL
        useful = BACKGROUND in kinds or (self.apart and len(kinds) > 1)
        return None if useful else NOTHING_OUTSIDE

    def _useful(self, regions: Tensor) -> Tensor:
        return regions if self.fault(regions) is None else torch.full_like(regions, IGNORED)


def union_of(shares: Tensor) -> Tensor:
    """Return the largest share of each cell over all masks, (1, h, w) for (M, h, w); M may be 0."""
    return (
        shares.amax(dim=0, keepdim=True) if len(shares) else shares.new_zeros(1, *shares.shape[1:])
    )


def shares_on_grid(shares: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Return shares (M, a, b) as float32 on another grid, (M, h, w).

    An axis of more cells is averaged, and the cells of an axis of fewer cells are repeated.
    """
    shares = shares.float()
    if tuple(shares.shape[1:]) == grid_size or not len(shares):
        return shares if len(shares) else shares.new_zeros(0, *grid_size)
    return F.adaptive_avg_pool2d(shares[:, None], grid_size)[:, 0]
