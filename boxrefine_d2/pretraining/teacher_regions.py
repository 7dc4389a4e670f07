"""Regions of the teacher: a student learns the objects that a rule finds on its teacher's map.

The teacher reads the whole image. A rule splits it into objects and background. The student sees a
crop in other colours and learns which patches belong together (`PairLoss`). The teacher averages
the student over time, so the regions get better during the training. The combination is ours; mean
teachers are those of DINO (arXiv:2104.14294).

Shapes: B images, W x W pixels of a whole image, S x S of a crop.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.losses import PairLoss
from boxrefine_d2.networks.vit import VisionTransformer


@dataclass(frozen=True)
class TeacherRegions:
    """The loss of the teacher's regions.

    Attributes:
        rule: rule with masks; each of its objects is a region.
        loss: loss of the student's keys.
        start_iter: iteration from which on the teacher is asked.
    """

    rule: DiscoveryRule
    loss: PairLoss
    start_iter: int

    def __call__(
        self, teacher: VisionTransformer, student: VisionTransformer, inputs: "RegionInputs"
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, and the share of correct signs; see `PairLoss`."""
        regions = objects_of(self.rule, teacher, inputs.wholes)
        keys = student(inputs.views, "key")
        in_view = crop_cells(regions, inputs.crops, keys.grid_size)
        return self.loss(keys.tokens(), in_view.flatten(1))


@dataclass(frozen=True)
class RegionInputs:
    """Inputs of `TeacherRegions`.

    Attributes:
        wholes: (B, 3, W, W), normalised.
        views: (B, 3, S, S), normalised.
        crops: (B, 4), see `crop_cells`.
    """

    wholes: Tensor
    views: Tensor
    crops: Tensor


@torch.no_grad()
def objects_of(rule: DiscoveryRule, network: VisionTransformer, images: Tensor) -> Tensor:
    """Return the regions of the rule's masks on the network's keys, (B, h, w) int64.

    A cell has 1 + the number of the mask that shows it, the last one of several; other cells have
    0, as in `PairLoss`.

    Args: images: (B, 3, H, W), normalised.
    """
    found: list[Any] = rule(network(images, "key"))
    regions = []
    for one in found:
        numbers = torch.arange(1, len(one.masks) + 1, device=one.masks.device)
        regions.append((one.masks * numbers[:, None, None]).amax(dim=0))
    return torch.stack(regions).to(images.device)


def crop_cells(cells: Tensor, crops: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Return the values of cells (B, h, w) at the cell centres of crops, (B, *grid_size).

    Args: crops: (B, 4) left, top, right and bottom as shares of the image. In a mirrored crop the
        left is greater than the right.
    """
    start, end = crops[:, None, :2], crops[:, None, 2:]
    columns, rows = (
        (2 * torch.lerp(start[..., axis], end[..., axis], _centres(count, crops)) - 1)
        for axis, count in enumerate(reversed(grid_size))
    )
    points = torch.stack(
        [
            columns[:, None, :].expand(-1, grid_size[0], -1),
            rows[:, :, None].expand(-1, -1, grid_size[1]),
        ],
        dim=3,
    )
    values = F.grid_sample(
        cells[:, None].float(), points, mode="nearest", padding_mode="border", align_corners=False
    )
    return values[:, 0].to(cells.dtype)


def _centres(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
