"""Training of what the jobs start from: the network behind the map, heads that make masks of it, their inpainter, a detector's
trunk, and a CLIP."""

from .clip_training import ClipTraining
from .found_training import FoundTraining
from .mae_training import MaskedAutoencoder
from .move_training import MoveTraining
from .self_distillation import SelfDistillation
from .trunk_distillation import TrunkDistillation

__all__ = [
    "ClipTraining",
    "FoundTraining",
    "MaskedAutoencoder",
    "MoveTraining",
    "SelfDistillation",
    "TrunkDistillation",
]
