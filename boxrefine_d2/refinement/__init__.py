"""Map detector h, its matcher and criterion, and the refiner of the network behind the map."""

from .box_refiner import BoxRefiner
from .criterion import SetCriterion
from .map_detector import MapDetector
from .matcher import HungarianMatcher

__all__ = ["BoxRefiner", "HungarianMatcher", "MapDetector", "SetCriterion"]
