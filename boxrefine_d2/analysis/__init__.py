"""What the keys of a network tell: of classes, of corresponding points, and of MaskCut's rounds."""

from .best_buddies import Buddies, best_buddies

__all__ = ["Buddies", "best_buddies"]
