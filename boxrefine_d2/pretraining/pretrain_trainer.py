"""Trainer of the self-supervised training of f itself."""

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
    """Trainer of a `SelfDistillation`, whose product is the teacher."""

    network: SelfDistillation

    def step_hook(self) -> DistillationHook:
        """Return the hook of the schedules, the teacher's update and the check for collapse."""
        return DistillationHook(self.network, self.cfg)

    def product(self) -> tuple[str, str]:
        """Return the file and the network name of the product, the teacher."""
        return self.network.product_file, self.cfg.MODEL.MAP_NETWORK.NAME

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW; biases, norms and single vectors have no decay, as in DINO's code."""
        groups = decay_of_matrices(model, cfg.SOLVER.WEIGHT_DECAY)
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        built: torch.optim.Optimizer = optimizer(groups, lr=cfg.SOLVER.BASE_LR, fused=True)
        return built

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> ViewsMapper:
        """Return the mapper of the views that the weighted terms need."""
        return ViewsMapper.from_config(cfg)
