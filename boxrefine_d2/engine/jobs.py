"""Which trainer belongs to a configuration."""

from detectron2.config import CfgNode

from boxrefine_d2.errors import UserError

from .cad_trainer import CADTrainer
from .clip_trainer import ClipTrainer
from .head_trainer import HeadTrainer
from .loop import Trainer
from .pretrain_trainer import PretrainTrainer
from .refine_trainer import RefineTrainer

TRAINERS: dict[str, type[Trainer]] = {
    "BoxRefiner": RefineTrainer,
    "ClassAgnosticRCNN": CADTrainer,
    "GeneralizedRCNN": CADTrainer,
    "SelfDistillation": PretrainTrainer,
    "MaskedAutoencoder": HeadTrainer,
    "MoveTraining": HeadTrainer,
    "FoundTraining": HeadTrainer,
    "TrunkDistillation": HeadTrainer,
    "ClipTraining": ClipTrainer,
}


def trainer_for(cfg: CfgNode) -> type[Trainer]:
    """The trainer of MODEL.META_ARCHITECTURE. Raises: UserError for one that has none."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in TRAINERS:
        raise UserError(
            f"MODEL.META_ARCHITECTURE {name!r} is not trained here; known: {', '.join(TRAINERS)}"
        )
    return TRAINERS[name]
