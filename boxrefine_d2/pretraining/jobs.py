"""Training jobs of this room."""

from boxrefine_d2.errors import require_grounding
from boxrefine_d2.training.jobs import register_job
from boxrefine_d2.training.loop import Trainer


@register_job("SelfDistillation")
def self_distillation() -> type[Trainer]:
    """Import the trainer of self-distillation."""
    from .pretrain_trainer import PretrainTrainer

    return PretrainTrainer


@register_job("MaskedAutoencoder", "MoveTraining", "FoundTraining", "TrunkDistillation")
def products() -> type[Trainer]:
    """Import the trainer of heads, the inpainter and a detector's trunk."""
    from boxrefine_d2.training.product_trainer import ProductTrainer

    return ProductTrainer


@register_job("ClipTraining", require=require_grounding)
def clip() -> type[Trainer]:
    """Import the trainer of a CLIP; the import takes seconds."""
    from .clip_trainer import ClipTrainer

    return ClipTrainer
