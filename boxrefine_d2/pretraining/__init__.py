"""Training without labels of the network behind the map, of the heads that make masks of it, of their inpainter, and of a detector's trunk."""

from .found_training import FoundTraining
from .mae_training import MaskedAutoencoder
from .move_training import MoveTraining
from .self_distillation import SelfDistillation
from .trunk_distillation import TrunkDistillation

__all__ = [
    "FoundTraining",
    "MaskedAutoencoder",
    "MoveTraining",
    "SelfDistillation",
    "TrunkDistillation",
]
