"""Targets of a refinement as the data gives them: checks, and masks that are decoded once."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode

from boxrefine_d2.data.records import Record
from boxrefine_d2.data.region_masks import with_region_masks
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks import padding_multiple

from .region_loss import MaskRegionLoss, build_region_loss

# pixels of the square input that a cell of a reduced mask shows, if the whole image is the input
REDUCED_PIXELS = 4

logger = logging.getLogger(__name__)


def prepared_records(cfg: CfgNode, records: Sequence[Record]) -> list[Record]:
    """Return the training records, with "region_masks" if f learns from masks of annotations.

    A warning counts the images whose regions are of no use.

    Raises: UserError if the targets of REFINE.TARGETS are missing, or if no image is of use.
    """
    check_targets(cfg.REFINE.TARGETS, records)
    if not mask_cells(cfg):
        return list(records)
    with_masks = with_region_masks(records, cfg.INPUT.SQUARE_SIZE // REDUCED_PIXELS)
    _count_useless(cfg, with_masks)
    return with_masks


def mask_cells(cfg: CfgNode) -> int:
    """Return the cells along a side of the grid of an input's masks; 0 if no masks are needed."""
    loss = build_region_loss(cfg)
    if loss is None or not loss.reads_masks or cfg.REFINE.TARGETS != "annotations":
        return 0
    cells: int = cfg.INPUT.SQUARE_SIZE // padding_multiple(cfg.MODEL.MAP_NETWORK.NAME)
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


def _count_useless(cfg: CfgNode, records: Sequence[Record]) -> None:
    """Warn of images whose whole input has no useful regions. Raises: UserError if all are such."""
    loss = build_region_loss(cfg)
    assert isinstance(loss, MaskRegionLoss)
    grid = (mask_cells(cfg),) * 2
    faults: Counter[str] = Counter()
    for record in records:
        regions = loss.cells.of_image(torch.from_numpy(record["region_masks"]) / 255, grid)
        fault = loss.cells.fault(regions)
        if fault:
            faults[fault] += 1
    if not faults:
        return
    counted = ", ".join(f"in {count} {fault}" for fault, count in faults.most_common())
    if faults.total() == len(records):
        raise UserError(
            f"REFINE.REGION: none of the {len(records)} training images has a region to learn "
            f"from: {counted}; lower REFINE.REGION.BORDER {loss.cells.border}, raise "
            "INPUT.SQUARE_SIZE, or use other masks"
        )
    logger.warning(
        "REFINE.REGION: %d of %d training images, as a whole, have no region to learn from: %s",
        *(faults.total(), len(records), counted),
    )
