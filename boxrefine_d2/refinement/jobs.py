"""Training job of this room: the refinement of a map network."""

from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("BoxRefiner")
def refinement() -> type[Trainer]:
    """Import the trainer of box-based refinement."""
    from .refine_trainer import RefineTrainer

    return RefineTrainer
