"""Training of what stands on or beside a frozen f, by the same loop: the heads of MOVE and FOUND, the inpainter, and the
trunk that a detector starts from."""

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.pretraining import (
    FoundTraining,
    MaskedAutoencoder,
    MoveTraining,
    TrunkDistillation,
)

from .product_trainer import ProductTrainer
from .step_hook import StepHook


class HeadTrainer(ProductTrainer):
    """Trains a model that names its own parameter groups and its product."""

    network: MoveTraining | FoundTraining | MaskedAutoencoder | TrunkDistillation
    learning_rates = "SOLVER.BASE_LR"

    def step_hook(self) -> StepHook:
        """The seed of each step, and what the model does in it."""
        return StepHook(self.network, self.cfg.SEED)

    def product(self) -> tuple[str, str]:
        """As the model says."""
        return self.network.product_file, self.network.product_name

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW with the model's groups; one that rests in a step has no gradients and is passed over."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(model.parameter_groups(), lr=cfg.SOLVER.BASE_LR, fused=True)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> SquareMapper:
        """Crops squeezed to a square."""
        return SquareMapper(cfg)
