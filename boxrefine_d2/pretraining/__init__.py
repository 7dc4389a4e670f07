"""Self-supervised training of the network behind the map, without labels."""

from .self_distillation import SelfDistillation

__all__ = ["SelfDistillation"]
