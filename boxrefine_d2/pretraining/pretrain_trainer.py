"""Self-supervised training of f itself, by the same loop."""

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from boxrefine_d2.data.mappers.views import ViewsMapper
from boxrefine_d2.training.product_trainer import ProductTrainer

from . import SelfDistillation
from .distillation_hook import DistillationHook
from .parameter_groups import decay_of_matrices


class PretrainTrainer(ProductTrainer):
    """Trains a `SelfDistillation`, whose product is the teacher."""

    network: SelfDistillation

    def step_hook(self) -> DistillationHook:
        """The schedules, the teacher's average and the watch for collapse."""
        return DistillationHook(self.network, self.cfg)

    def product(self) -> tuple[str, str]:
        """The teacher."""
        return self.network.product_file, self.cfg.MODEL.MAP_NETWORK.NAME

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW; no weight decay on biases, norms and single vectors, as DINO's code has it."""
        groups = decay_of_matrices(model, cfg.SOLVER.WEIGHT_DECAY)
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        built: torch.optim.Optimizer = optimizer(groups, lr=cfg.SOLVER.BASE_LR, fused=True)
        return built

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> ViewsMapper:
        """The views that the weighted terms need."""
        return ViewsMapper.from_config(cfg)
