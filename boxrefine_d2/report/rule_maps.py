"""What a page says of a rule: its title, and the map that shows what it goes by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from boxrefine_d2.discovery.lost import Lost
from boxrefine_d2.discovery.tokencut import TokenCut, bipartition
from boxrefine_d2.structures import FeatureMap


def inverse_degree(features: FeatureMap, **parameters: Any) -> np.ndarray:
    """(h, w): 1 / degree of each cell of one image, scaled to [0, 1], as LOST (arXiv:2109.14279) shows it.

    The seed is where it is largest. A degree of 0 counts as 1.
    """
    degree = Lost(**parameters).maps(features).degree[0].reshape(features.grid_size)
    return _scaled(1 / degree.clamp(min=1).double().cpu().numpy())


def eigenvector(features: FeatureMap, **parameters: Any) -> np.ndarray:
    """(h, w): the eigenvector of TokenCut's graph of one image, its foreground up, scaled to [0, 1]."""
    cut = TokenCut(**parameters).cut(features)
    sides = bipartition(cut.eigenvector, parameters["tie_tolerance"])
    return _scaled(sides.eigenvector[0].reshape(features.grid_size).cpu().numpy())


def _scaled(values: np.ndarray) -> np.ndarray:
    """To [0, 1]; zeros where all are equal."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span else np.zeros_like(values)


def soft_mask(features: FeatureMap, **_: Any) -> np.ndarray:
    """(h, w): the mask that a segmenter drew of one image."""
    return features.data[0, 0].double().cpu().numpy()


@dataclass(frozen=True)
class RuleMap:
    """What is shown of a rule's inside.

    Attributes:
        draw: (features of one image, the rule's parameters) -> (h, w) in [0, 1].
        says: what is seen there, as a sentence.
    """

    draw: Callable[..., np.ndarray]
    says: str


_MASK = RuleMap(soft_mask, "the segmenter's mask: bright is foreground.")
MAPS: dict[str, RuleMap] = {
    "lost": RuleMap(
        inverse_degree,
        "1 / degree of each patch, each map on its own scale: a patch is bright where few others are like it. The "
        "rule starts from the brightest.",
    ),
    "tokencut": RuleMap(
        eigenvector,
        "the eigenvector of the cut, each map on its own scale: the bright side is the foreground. The rule starts "
        "from the brightest patch.",
    ),
    "move": _MASK,
    "found": _MASK,
}

# as their publications write them
_TITLES = {
    "lost": "LOST",
    "tokencut": "TokenCut",
    "maskcut": "MaskCut",
    "dino_seg": "DINO-seg",
    "move": "MOVE",
    "found": "FOUND",
}


def rule_title(rule: str) -> str:
    """What a rule is called in texts; its own name if it has no other."""
    return _TITLES.get(rule, rule)
