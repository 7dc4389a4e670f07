"""Rules that draw pseudo-boxes from a map; pure in the map."""

from . import lost as _  # registration
from .build import DISCOVERY_REGISTRY, build_rule, discover, rule_parameters

__all__ = ["DISCOVERY_REGISTRY", "build_rule", "discover", "rule_parameters"]
