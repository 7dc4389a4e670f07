"""The region loss of a configuration."""

import torch
from detectron2.config import CfgNode
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.losses import BoxSupervision, PairLoss
from boxrefine_d2.networks.map_network import Reading

from .cell_regions import CellRegions
from .criterion import OBJECT
from .map_detector import MapDetector
from .map_inputs import MapInput
from .phases import PhaseSchedule
from .region_loss import BoxRegionLoss, ConfidentBoxes, MaskRegionLoss, RegionLoss


def build_region_loss(
    cfg: CfgNode, detector: MapDetector, map_input: MapInput
) -> RegionLoss | None:
    """Return the loss of REFINE.REGION; None with REFINE.LOSS detector.

    Args:
        detector: h.
        map_input: function from f's reading to h's input.
    Raises: UserError for values that do not go together.
    """
    if cfg.REFINE.LOSS == "detector":
        return None
    check_region_keys(cfg)
    node = cfg.REFINE.REGION
    weight, shuffled = node.WEIGHT, cfg.REFINE.SHUFFLE_BOXES
    if node.FROM == "boxes":
        return BoxRegionLoss(
            loss=BoxSupervision(node.SCALE, node.COLOUR_SIMILARITY, node.PAIR_DISTANCE),
            pairwise_weight=node.PAIRWISE_WEIGHT,
            weight=weight,
            shuffled=shuffled,
        )
    confident = None
    if node.FROM == "detector":
        confident = confident_boxes(detector, map_input, node.CONFIDENCE)
    return MaskRegionLoss(
        loss=PairLoss.from_config(node, regions_apart=node.REGIONS_APART),
        cells=cell_regions(cfg),
        weight=weight,
        shuffled=shuffled,
        confident=confident,
        filled_boxes=node.FROM == "filled_boxes",
    )


def reads_masks(cfg: CfgNode) -> bool:
    """Return whether the region loss of REFINE.REGION reads masks, and not boxes alone."""
    return cfg.REFINE.REGION.FROM in ("masks", "detector")


def cell_regions(cfg: CfgNode) -> CellRegions:
    """Return the function from masks to regions of cells."""
    node = cfg.REFINE.REGION
    return CellRegions(node.BORDER, node.OUTSIDE == "background", node.REGIONS_APART)


def confident_boxes(
    detector: MapDetector, map_input: MapInput, confidence: float
) -> ConfidentBoxes:
    """Return the function from f's reading to h's boxes whose probability is high enough."""

    @torch.no_grad()
    def boxes_of(reading: Reading) -> list[Tensor]:
        outputs = detector.predict(map_input(reading))
        probability = outputs["pred_logits"].softmax(dim=2)[..., OBJECT]
        pairs = zip(outputs["pred_boxes"], probability, strict=True)
        return [boxes[p >= confidence] for boxes, p in pairs]

    return boxes_of


def check_region_keys(cfg: CfgNode) -> None:
    """Refuse keys of the region loss that do not go together. Raises: UserError."""
    node, loss = cfg.REFINE.REGION, cfg.REFINE.LOSS
    if node.OUTSIDE == "ignored" and node.FROM == "boxes":
        raise UserError(
            "REFINE.REGION.OUTSIDE ignored: with REFINE.REGION.FROM boxes, f learns what is inside "
            "a box from what is outside; use OUTSIDE background, or FROM masks"
        )
    if node.OUTSIDE == "ignored" and not node.REGIONS_APART:
        raise UserError(
            "REFINE.REGION.OUTSIDE ignored leaves nothing to push apart while "
            "REFINE.REGION.REGIONS_APART is False; use OUTSIDE background, or REGIONS_APART True"
        )
    reads_h = loss == "both" or node.FROM == "detector"
    if reads_h and not (cfg.MODEL.WEIGHTS or PhaseSchedule.from_config(cfg).trains_detector):
        raise UserError(
            f"REFINE.LOSS {loss} with REFINE.REGION.FROM {node.FROM} reads h, which never learns: "
            "raise REFINE.WARMUP_ITERS from 0, or name a checkpoint by MODEL.WEIGHTS"
        )
    if reads_h and cfg.SOLVER.AMP.ENABLED:
        raise UserError(
            "SOLVER.AMP.ENABLED True: h reads f's map in float32; use REFINE.LOSS region with "
            "REFINE.REGION.FROM masks, boxes or filled_boxes, or AMP.ENABLED False"
        )
