"""Parts of a `BoxRefiner` from the configuration, and the check that they fit each other."""

from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule, ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.map_network import MapNetwork

from .build_region_loss import build_region_loss
from .map_detector import AbsentDetector, MapDetector
from .map_inputs import MapInput, build_map_input, no_input
from .phases import PhaseSchedule
from .preservation import PreservationLoss


def parts_of(cfg: CfgNode) -> dict[str, Any]:
    """Return the arguments of `BoxRefiner` that the configuration names."""
    rule = build_rule(cfg.DISCOVERY.NAME, cfg)
    node = cfg.MODEL.MAP_NETWORK
    network = build_backbone(node.NAME, node.WEIGHTS).for_refinement()
    detector, map_input = _detector_of(cfg, network, rule)
    return {
        "map_network": network,
        "map_detector": detector,
        "discovery": rule,
        "discovery_name": cfg.DISCOVERY.NAME,
        "map_input": map_input,
        "preservation": PreservationLoss(
            weight=cfg.REFINE.PRESERVATION_WEIGHT,
            on=cfg.REFINE.REG_ON,
            reduction=cfg.REFINE.REG_REDUCTION,
        ),
        "square_size": cfg.INPUT.SQUARE_SIZE,
        "region_loss": build_region_loss(cfg, detector, map_input),
        "through_h": cfg.REFINE.LOSS != "region",
        "autocast": cfg.SOLVER.AMP.ENABLED and cfg.REFINE.LOSS == "region",
        "shuffle_boxes": cfg.REFINE.SHUFFLE_BOXES,
        "reference_targets": cfg.REFINE.TARGETS == "reference",
        "reference_batch_statistics": cfg.REFINE.REFERENCE_BATCH_STATISTICS,
        "head_alone": cfg.REFINE.FRESH_HEAD,
    }


def _detector_of(
    cfg: CfgNode, network: MapNetwork, rule: DiscoveryRule
) -> tuple[MapDetector, MapInput]:
    """Return h and the function from f's reading to its input; both are absent if h is not used."""
    used = cfg.REFINE.LOSS != "region" or cfg.REFINE.REGION.FROM == "detector"
    if not (used or PhaseSchedule.from_config(cfg).trains_detector):
        return AbsentDetector(), no_input
    node = cfg.MODEL.MAP_DETECTOR
    detector = MapDetector(cfg)
    map_input = build_map_input(
        node.INPUT,
        with_cls=node.INPUT_CLS,
        with_tokens=network.has_tokens,
        rule=rule,
        pool=node.INPUT_POOL,
    )
    return detector, map_input


def check_parts(
    network: MapNetwork, rule: DiscoveryRule, preservation: PreservationLoss, head_alone: bool
) -> None:
    """Refuse parts of a `BoxRefiner` that do not fit each other. Raises: UserError."""
    rule.choose_facet([network.facets[0]])
    if isinstance(rule, ObservingRule):
        raise UserError(
            f"DISCOVERY.NAME: {type(rule).__name__} reads a whole data set first, and f changes "
            "at every step; write its boxes with tools/discover.py and give them with "
            "+pseudo=FILE and REFINE.TARGETS annotations"
        )
    if preservation.weight and preservation.on not in network.holds:
        raise UserError(
            f"REFINE.REG_ON {preservation.on!r} does not fit f, a {type(network).__name__}: use "
            f"{' or '.join(network.holds)}"
        )
    if head_alone and network.fresh_part is None:
        raise UserError("REFINE.FRESH_HEAD: f has no head; use a segmenter, such as move_vits8")
