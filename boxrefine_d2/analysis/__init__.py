"""Analyses of the keys of a network: by class, by corresponding points, and by MaskCut's rounds."""

from .best_buddies import Buddies, best_buddies

__all__ = ["Buddies", "best_buddies"]
