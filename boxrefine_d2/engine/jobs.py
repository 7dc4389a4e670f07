"""Which trainer belongs to a configuration, and what its training leaves."""

import importlib

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY

from boxrefine_d2.errors import UserError, require_grounding

from .cad_trainer import CADTrainer
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
}

# those that need the extra `grounding`, which takes seconds to load: module of this room and class
GROUNDING_TRAINERS = {
    "ClipTraining": ("clip_trainer", "ClipTrainer"),
    "HeatmapTraining": ("grounding_trainers", "HeatmapTrainer"),
    "GroundingRefiner": ("grounding_trainers", "GroundingRefineTrainer"),
    "WhatIsWhere": ("grounding_trainers", "WhatIsWhereTrainer"),
}


def trainer_for(cfg: CfgNode) -> type[Trainer]:
    """The trainer of MODEL.META_ARCHITECTURE. Raises: UserError for one that has none, or whose extra is missing."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name in GROUNDING_TRAINERS:
        module, trainer = GROUNDING_TRAINERS[name]
        require_grounding(f"MODEL.META_ARCHITECTURE {name}")
        return getattr(importlib.import_module(f".{module}", __package__), trainer)
    if name not in TRAINERS:
        known = ", ".join((*TRAINERS, *GROUNDING_TRAINERS))
        raise UserError(f"MODEL.META_ARCHITECTURE {name!r} is not trained here; known: {known}")
    return TRAINERS[name]


def product_file(cfg: CfgNode) -> str | None:
    """Return the file or folder that a training writes to OUTPUT_DIR beside its checkpoints; None if it writes none.

    Raises: UserError as `trainer_for`.
    """
    trainer_for(cfg)  # whose module registers the model
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    return getattr(model, "product_file", None)
