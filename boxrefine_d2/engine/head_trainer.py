"""Training of what stands on or beside a frozen f, by the same loop: the heads of MOVE and FOUND, and the inpainter."""

from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.pretraining import FoundTraining, MaskedAutoencoder, MoveTraining

from .export import write_network
from .loop import Trainer
from .pretrain_trainer import check_images_differ
from .step_hook import StepHook


class HeadTrainer(Trainer):
    """Trains a model that names its own parameter groups; its product is written to OUTPUT_DIR at the end."""

    network: MoveTraining | FoundTraining | MaskedAutoencoder
    learning_rates = "SOLVER.BASE_LR"

    def __init__(self, cfg: CfgNode):
        """Also refuses training images that are all the same picture. Raises: UserError."""
        super().__init__(cfg)
        check_images_differ(self.train_loader.dataset.records)

    def job_hooks(self) -> list[HookBase]:
        """The seed of each step, and what the model does in it."""
        self.step_hook = StepHook(self.network, self.cfg.SEED)
        return [self.step_hook]

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW with the model's groups; one that rests in a step has no gradients and is passed over."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(model.parameter_groups(), lr=cfg.SOLVER.BASE_LR, fused=True)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> SquareMapper:
        """Crops squeezed to a square."""
        return SquareMapper(cfg)

    def record(self) -> dict[str, Any]:
        """How long it took and how many images it saw; writes the product."""
        unreadable = self.unreadable_images()
        if comm.is_main_process():
            path = Path(self.cfg.OUTPUT_DIR) / self.network.product_file
            write_network(path, self.network.map_network, self.cfg, name=self.network.product_name)
        return {
            "images_seen": self.max_iter * self.cfg.SOLVER.IMS_PER_BATCH,
            "images": len(self.train_loader.dataset),
            "seconds": round(self.step_hook.seconds, 1),
            "unreadable_images": unreadable,
        }
