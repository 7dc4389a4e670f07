"""Words and maps of a rule on a page: its title, and the map that it reads its box from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from boxrefine_d2.discovery.lost import Lost
from boxrefine_d2.discovery.tokencut import TokenCut, bipartition
from boxrefine_d2.discovery.tokencut_refined import TokenCutRefined
from boxrefine_d2.structures import FeatureMap


def inverse_degree(features: FeatureMap, **parameters: Any) -> np.ndarray:
    """Return 1 / degree of each cell of one image, (h, w), scaled to [0, 1].

    LOST (arXiv:2109.14279) shows this map. The seed is at its maximum. A degree of 0 counts as 1.
    """
    degree = Lost(**parameters).maps(features).degree[0].reshape(features.grid_size)
    return _scaled(1 / degree.clamp(min=1).double().cpu().numpy())


def eigenvector(features: FeatureMap, **parameters: Any) -> np.ndarray:
    """Return the eigenvector of TokenCut's graph of one image, (h, w), scaled to [0, 1].

    The foreground has the high values.
    """
    return _eigenvector_of(TokenCut(**parameters), features)


def unrefined_eigenvector(features: FeatureMap, **parameters: Any) -> np.ndarray:
    """Return the same map of the rule `tokencut_refined`, before the image refines it."""
    return _eigenvector_of(TokenCutRefined(**parameters), features)


def _eigenvector_of(rule: TokenCut, features: FeatureMap) -> np.ndarray:
    sides = bipartition(rule.cut(features).eigenvector, rule.tie_tolerance)
    return _scaled(sides.eigenvector[0].reshape(features.grid_size).cpu().numpy())


def _scaled(values: np.ndarray) -> np.ndarray:
    """Scale to [0, 1]; return zeros if all values are equal."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span else np.zeros_like(values)


def soft_mask(features: FeatureMap, **_: Any) -> np.ndarray:
    """Return the mask that a segmenter drew of one image, (h, w)."""
    return features.data[0, 0].double().cpu().numpy()


@dataclass(frozen=True)
class RuleMap:
    """Map of a rule for the page.

    Attributes:
        draw: (features of one image, the rule's parameters) -> (h, w) in [0, 1].
        meaning: explanation of the map.
    """

    draw: Callable[..., np.ndarray]
    meaning: str


_MASK = RuleMap(soft_mask, "the segmenter's mask: bright is foreground.")
MAPS: dict[str, RuleMap] = {
    "lost": RuleMap(
        inverse_degree,
        "1 / degree of each patch, each map on its own scale: a patch is bright if few others are "
        "similar to it. The rule starts from the brightest patch.",
    ),
    "tokencut": RuleMap(
        eigenvector,
        "the eigenvector of the cut, each map on its own scale: the bright side is the foreground. "
        "The rule starts from the brightest patch.",
    ),
    "tokencut_refined": RuleMap(
        unrefined_eigenvector,
        "the eigenvector of the cut before the image refines it, each map on its own scale: the "
        "bright side is the foreground.",
    ),
    "move": _MASK,
    "found": _MASK,
    "largest_contour": RuleMap(
        soft_mask, "the network's heatmap: the rule takes the largest bright part."
    ),
}

# the spelling of the publications
_TITLES = {
    "lost": "LOST",
    "tokencut": "TokenCut",
    "tokencut_refined": "TokenCut, refined",
    "maskcut": "MaskCut",
    "dino_seg": "DINO-seg",
    "move": "MOVE",
    "found": "FOUND",
    "largest_contour": "Largest contour",
}


def rule_title(rule: str) -> str:
    """Return the name of a rule in texts; its own name if it has no other."""
    return _TITLES.get(rule, rule)
