"""Discovery rules, which find pseudo-boxes in a map and read nothing but the map."""

from .absorption import Absorption
from .build import DISCOVERY_REGISTRY, build_rule, discover, rule_parameters
from .contours import Contours
from .dino_seg import DinoSeg
from .ensemble import Ensemble
from .found import Found
from .largest_contour import LargestContour
from .lost import Lost
from .maskcut import MaskCut
from .move import Move
from .representer import Representer
from .tokencut import TokenCut
from .tokencut_refined import TokenCutRefined

__all__ = [
    "DISCOVERY_REGISTRY",
    "Absorption",
    "Contours",
    "DinoSeg",
    "Ensemble",
    "Found",
    "LargestContour",
    "Lost",
    "MaskCut",
    "Move",
    "Representer",
    "TokenCut",
    "TokenCutRefined",
    "build_rule",
    "discover",
    "rule_parameters",
]
