"""Training of the networks that the jobs start from.

These are the network behind the map, heads that make masks of it, their inpainter, and a
detector's trunk. `clip_training` is not imported here because it needs the extra `grounding`.
"""

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
