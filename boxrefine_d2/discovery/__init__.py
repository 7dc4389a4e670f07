"""Rules that draw pseudo-boxes from a map; pure in the map."""

from .build import DISCOVERY_REGISTRY, build_rule, discover, rule_parameters
from .lost import Lost
from .maskcut import MaskCut
from .tokencut import TokenCut

__all__ = [
    "DISCOVERY_REGISTRY",
    "Lost",
    "MaskCut",
    "TokenCut",
    "build_rule",
    "discover",
    "rule_parameters",
]
