"""Region loss: it refines f by regions of the image, without the detector h (ours).

The paper's loss reaches f through h, which reads the keys as an image. The region loss reads the
keys themselves: those of one region become similar, and those of regions that lie apart dissimilar.

Shapes: B images, M masks of an image, h x w cells of f's map, N = h * w, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.losses import IGNORED, PairLoss
from boxrefine_d2.networks.map_network import Reading

from .cell_regions import CellRegions
from .fixed_outputs import Targets

# Batches in a row without any region, after which a training ends.
MOST_EMPTY_BATCHES = 50


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

    def next_image(self, rows: list[Any]) -> list[Any]:
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

    Attributes:
        loss: loss of the keys.
        cells: function from masks to regions of cells.
    """

    def __init__(self, *, loss: PairLoss, cells: CellRegions, weight: float, shuffled: bool):
        super().__init__(weight=weight, shuffled=shuffled)
        self.loss, self.cells = loss, cells

    def __call__(
        self, reading: Reading, targets: Targets, batched_inputs: Sequence[dict[str, Any]]
    ) -> Tensor:
        """Return the weighted loss; see `RegionLoss`."""
        keys = keys_of(reading)
        regions = self.cells(self.masks(reading, targets), reading.map.grid_size)
        regions = torch.stack(self.next_image(list(regions)))
        loss, correct = self.loss(keys, regions)
        known = regions != IGNORED
        self.report(
            int(known.any(dim=1).sum()),
            len(regions),
            correct_signs=correct,
            cells=known.float().mean(),
        )
        return self.weight * loss

    def masks(self, reading: Reading, targets: Targets) -> list[Tensor]:
        """Return for each image the shares of cells that its masks fill, (M, a, b)."""
        return targets.require_masks()


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


def build_region_loss(cfg: CfgNode) -> RegionLoss | None:
    """Return the loss of REFINE.REGION; None with REFINE.LOSS detector.

    Raises: UserError for values that do not go together.
    """
    node = cfg.REFINE.REGION
    if cfg.REFINE.LOSS == "detector":
        return None
    outside = node.OUTSIDE == "background"
    if not (outside or node.REGIONS_APART):
        raise UserError(
            "REFINE.REGION.OUTSIDE ignored leaves nothing to push apart while "
            "REFINE.REGION.REGIONS_APART is False; set one of them to background or True"
        )
    return MaskRegionLoss(
        loss=PairLoss.from_config(node, regions_apart=node.REGIONS_APART),
        cells=CellRegions(node.BORDER, outside, node.REGIONS_APART),
        weight=node.WEIGHT,
        shuffled=cfg.REFINE.SHUFFLE_BOXES,
    )
