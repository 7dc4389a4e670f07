"""Region loss: it refines f by regions of the image, without the detector h (ours).

The paper's loss reaches f through h, which reads the keys as an image. The region loss reads the
keys themselves: those of one region become similar, and those of regions that lie apart dissimilar.

Shapes: B images, M masks or boxes of an image, h x w cells of f's map, N = h * w, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.losses import IGNORED, BoxSupervision, PairLoss, mean_over_ranks
from boxrefine_d2.losses.box_supervision import box_shares, useful
from boxrefine_d2.losses.lab import lab_of
from boxrefine_d2.networks.map_network import Reading

from .cell_regions import CellRegions
from .fixed_outputs import Targets

# Batches in a row without any region, after which a training ends.
MOST_EMPTY_BATCHES = 50

# From f's reading to h's boxes of each image, (N, 4) normalised.
ConfidentBoxes = Callable[[Reading], list[Tensor]]


class RegionLoss(ABC):
    """Loss of f on the regions of a batch.

    Args:
        weight: factor of the loss.
        shuffled: each image has the regions of the next image of the batch, as a control.

    Attributes: reads_masks: True if the targets must have masks.
    """

    reads_masks = True

    def __init__(self, *, weight: float, shuffled: bool):
        self.weight = weight
        self.shuffled = shuffled
        self._empty_batches = 0

    @abstractmethod
    def __call__(
        self, reading: Reading, targets: Targets, batched_inputs: Sequence[dict[str, Any]]
    ) -> Tensor:
        """Return the weighted loss, and log its parts.

        Args:
            reading: f's reading of the images.
            targets: boxes and masks of the images.
            batched_inputs: inputs of `BoxRefiner.forward` in training.
        Raises: UserError for targets that the loss cannot read.
        """

    def next_image(self, rows: list[Tensor]) -> list[Tensor]:
        """Return the rows of a batch; as a control, each image has those of the next one."""
        return rows[1:] + rows[:1] if self.shuffled else rows

    def report(self, used: int, images: int, **values: Tensor) -> None:
        """Log the share of images that have a region, and other values.

        Raises: UserError if `MOST_EMPTY_BATCHES` batches in a row have no region.
        """
        self._empty_batches = 0 if used else self._empty_batches + 1
        if self._empty_batches == MOST_EMPTY_BATCHES:
            raise UserError(
                f"REFINE.LOSS: none of the images of the last {MOST_EMPTY_BATCHES} batches has a "
                "region that can be told from what lies outside; lower REFINE.REGION.BORDER, or "
                "use other targets or another value of REFINE.REGION.FROM"
            )
        storage = get_event_storage()
        storage.put_scalar("region/images", used / images)
        for name, value in values.items():
            storage.put_scalar(f"region/{name}", value.item())


class MaskRegionLoss(RegionLoss):
    """`PairLoss` on f's map; the regions are the masks of the targets.

    Args:
        loss: loss of the keys.
        cells: function from masks to regions of cells.
        confident: h's confident boxes on f's map. Masks count inside of them, and no cell counts
            in which only the mask or only a box lies. None to take the masks as they are.
        filled_boxes: whether the boxes of the targets take the place of the masks.
    """

    def __init__(
        self,
        *,
        loss: PairLoss,
        cells: CellRegions,
        weight: float,
        shuffled: bool,
        confident: ConfidentBoxes | None = None,
        filled_boxes: bool = False,
    ):
        super().__init__(weight=weight, shuffled=shuffled)
        self._loss, self._cells, self._confident = loss, cells, confident
        self.reads_masks = not filled_boxes

    def __call__(
        self, reading: Reading, targets: Targets, batched_inputs: Sequence[dict[str, Any]]
    ) -> Tensor:
        """Return the weighted loss; see `RegionLoss`."""
        keys, grid_size = keys_of(reading), reading.map.grid_size
        if self.reads_masks:
            masks = targets.require_masks()
        else:
            masks = [box_shares(boxes, grid_size) for boxes in targets.boxes]
        if self._confident is None:
            regions = self._cells(masks, grid_size)
        else:
            regions = self._cells.inside(masks, self._confident(reading), grid_size)
        regions = torch.stack(self.next_image(list(regions)))
        loss, correct = self._loss(keys, regions)
        known = regions != IGNORED
        used = int(known.any(dim=1).sum())
        self.report(used, len(regions), correct_signs=correct, cells=known.float().mean())
        return self.weight * loss


class BoxRegionLoss(RegionLoss):
    """`BoxSupervision` of f's map by the boxes of the targets.

    A box without a cell, and boxes that leave no cell outside, do not count.

    Args:
        loss: projection and pairwise terms.
        pairwise_weight: weight of the pairwise term.
    """

    reads_masks = False

    def __init__(
        self, *, loss: BoxSupervision, pairwise_weight: float, weight: float, shuffled: bool
    ):
        super().__init__(weight=weight, shuffled=shuffled)
        self._loss, self._pairwise_weight = loss, pairwise_weight

    def __call__(
        self, reading: Reading, targets: Targets, batched_inputs: Sequence[dict[str, Any]]
    ) -> Tensor:
        """Return the weighted loss, a mean over the boxes of all ranks; see `RegionLoss`."""
        keys, grid_size = keys_of(reading), reading.map.grid_size
        sums, boxes, images = keys.new_zeros(2), 0, 0
        rows = zip(keys, self.next_image(targets.boxes), batched_inputs, strict=True)
        for keys_of_image, boxes_of_image, x in rows:
            shares = box_shares(boxes_of_image, grid_size)
            shares = shares[useful(shares)]
            if len(shares):
                colours = cell_colours(x["image"].to(keys.device), grid_size)
                terms = self._loss(keys_of_image, shares, colours)
                sums = sums + torch.stack([term.sum() for term in terms])
                boxes, images = boxes + len(shares), images + 1
        count = mean_over_ranks(keys.new_tensor(float(boxes)))
        projection, pairwise = sums / count.clamp(min=1e-6)
        self.report(images, len(keys), projection=projection.detach(), pairwise=pairwise.detach())
        # the last term gives a batch without boxes a gradient, of zeros
        loss: Tensor = (
            self.weight * (projection + self._pairwise_weight * pairwise) + 0 * keys.sum()
        )
        return loss


def keys_of(reading: Reading) -> Tensor:
    """Return f's map as (B, N, C) float32.

    Raises: UserError for a map of one channel, whose directions cannot differ.
    """
    keys = reading.map.tokens().float()
    if keys.shape[2] == 1:
        raise UserError(
            "REFINE.LOSS: the region loss compares directions of features, and f's map has one "
            "channel; use REFINE.LOSS detector"
        )
    return keys


def cell_colours(image: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Return the mean colour of each cell in CIELAB, (h, w, 3).

    Args: image: (3, H, W) RGB in [0, 255].
    """
    return lab_of(F.adaptive_avg_pool2d(image.float() / 255, grid_size).movedim(0, 2))
