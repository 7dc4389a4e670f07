"""Targets of a refinement as the data gives them: checks, and masks that are decoded once."""

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode

from boxrefine_d2.data.mappers.square import visible_boxes
from boxrefine_d2.data.records import Record
from boxrefine_d2.data.region_masks import with_region_masks
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.losses.box_supervision import HALF, box_shares, useful
from boxrefine_d2.networks import padding_multiple

from .build_region_loss import cell_regions, check_region_keys, reads_masks
from .cell_regions import NO_CELL, NOTHING_OUTSIDE, CellRegions

# pixels of the square input that a cell of a reduced mask shows, if the whole image is the input
REDUCED_PIXELS = 4

logger = logging.getLogger(__name__)


def prepared_records(cfg: CfgNode, records: Sequence[Record]) -> list[Record]:
    """Return the training records, with "region_masks" if f learns from masks of annotations.

    Images without a label are left out if f learns from regions alone. A warning counts them, and
    the images whose regions are of no use.

    Raises: UserError if the targets of REFINE.TARGETS are missing, or if no image is of use.
    """
    check_targets(cfg.REFINE.TARGETS, records)
    if cfg.REFINE.TARGETS == "annotations":
        records = _useful_records(cfg.REFINE.LOSS, records)
    if cfg.REFINE.LOSS == "detector" or cfg.REFINE.TARGETS != "annotations":
        return list(records)
    check_region_keys(cfg)
    if reads_masks(cfg):
        records = with_region_masks(records, max(1, cfg.INPUT.SQUARE_SIZE // REDUCED_PIXELS))
    _count_useless(cfg, records)
    return list(records)


def mask_cells(cfg: CfgNode) -> int:
    """Return the cells along a side of the grid of an input's masks; 0 if no masks are needed."""
    node = cfg.REFINE
    if node.LOSS != "detector" and reads_masks(cfg) and node.TARGETS == "annotations":
        return _cells(cfg)
    return 0


def _cells(cfg: CfgNode) -> int:
    network = cfg.MODEL.MAP_NETWORK
    cells: int = cfg.INPUT.SQUARE_SIZE // padding_multiple(network.NAME, network.WEIGHTS)
    return cells


def check_targets(targets: str, records: Sequence[dict[str, Any]]) -> None:
    """Refuse a value of REFINE.TARGETS that the training images cannot serve.

    Raises: UserError for an unknown value, or if some or all images lack annotations.
    """
    known = ("rule", "reference", "annotations")
    check_choice("REFINE.TARGETS", targets, known)
    if targets != "annotations":
        return
    without = [record["file_name"] for record in records if "annotations" not in record]
    if without:
        raise UserError(
            f"REFINE.TARGETS annotations: {len(without)} of {len(records)} training images "
            f"have no labels (first: {without[0]}); add +pseudo=FILE, which tools/discover.py "
            "writes, or use REFINE.TARGETS rule"
        )
    if not any(record["annotations"] for record in records):
        raise UserError(
            f"REFINE.TARGETS annotations: the labels of all {len(records)} training images are "
            "empty; use another pseudo-label file, or REFINE.TARGETS rule"
        )


def _useful_records(loss: str, records: Sequence[Record]) -> Sequence[Record]:
    """Return the images from which f or h learns, and warn of those without a label."""
    labelled = [record for record in records if record["annotations"]]
    alone = loss == "region"
    if len(labelled) < len(records):
        logger.warning(
            "REFINE.TARGETS annotations: %d of %d training images have no label; %s",
            *(len(records) - len(labelled), len(records)),
            "they are left out"
            if alone
            else "batches contain them, and h learns that they show no object",
        )
    return labelled if alone else records


def _count_useless(cfg: CfgNode, records: Sequence[Record]) -> None:
    """Warn of images whose whole input has no useful region. Raises: UserError if all are such."""
    fault_of = partial(_fault, cell_regions(cfg), (_cells(cfg),) * 2)
    faults = Counter(fault for record in records if (fault := fault_of(record)))
    if not faults:
        return
    counted = ", ".join(f"in {count} {fault}" for fault, count in faults.most_common())
    if faults.total() == len(records):
        raise UserError(
            f"REFINE.REGION: none of the {len(records)} training images has a region to learn "
            f"from: {counted}; use other labels, lower REFINE.REGION.BORDER "
            f"{cfg.REFINE.REGION.BORDER}, or raise INPUT.SQUARE_SIZE {cfg.INPUT.SQUARE_SIZE}"
        )
    logger.warning(
        "REFINE.REGION: %d of %d training images, as a whole, have no region to learn from: %s",
        *(faults.total(), len(records), counted),
    )


def _fault(cells: CellRegions, grid_size: tuple[int, int], record: Record) -> str | None:
    """Return why the regions of a whole image are of no use, or None."""
    if "region_masks" in record:
        shares = torch.from_numpy(record["region_masks"]) / 255
        return cells.fault(cells.of_image(shares, grid_size))
    if not (record["height"] and record["width"]):
        return None  # the stream of training images reports it
    whole = (0, 0, record["height"], record["width"])
    shares = box_shares(visible_boxes(record["annotations"], whole, False), grid_size)
    if useful(shares).any():
        return None
    return NOTHING_OUTSIDE if (shares >= HALF).any() else NO_CELL
