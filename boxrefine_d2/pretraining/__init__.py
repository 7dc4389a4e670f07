"""Training without labels of the network behind the map, of the heads that make masks of it, and of their inpainter."""

from .found_training import FoundTraining
from .mae_training import MaskedAutoencoder
from .move_training import MoveTraining
from .self_distillation import SelfDistillation

__all__ = ["FoundTraining", "MaskedAutoencoder", "MoveTraining", "SelfDistillation"]
