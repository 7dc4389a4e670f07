"""Trainer base for the refinement of any map network: phases, and two learning rates."""

from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch.optim.lr_scheduler import LRScheduler

from boxrefine_d2.training.loop import Trainer

from .phase_hook import PhaseHook
from .phased_refiner import PhasedRefiner
from .phases import PhaseSchedule
from .polynomial_decay import FirstGroupDecay


class PhasedTrainer(Trainer):
    """Trainer in which the map network and h learn by a schedule."""

    learning_rates = "SOLVER.BASE_LR or SOLVER.MAP_NETWORK_LR"

    def job_hooks(self) -> list[HookBase]:
        """Return the hook of the phases."""
        self.phase_hook = PhaseHook(
            self.network,
            PhaseSchedule.from_config(self.cfg),
            fresh_head_seed=self.cfg.SEED if self.cfg.REFINE.FRESH_HEAD else None,
        )
        return [self.phase_hook]

    def progress(self) -> dict[str, str]:
        """Return the phase and the loss."""
        return {"phase": self.network.phase, **super().progress()}

    def position_text(self) -> str:
        """Return the iteration and the phase in words."""
        return f"{super().position_text()} (phase {self.network.phase})"

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: PhasedRefiner) -> torch.optim.Optimizer:
        """Return Adam with groups of their own for f and h.

        It skips the part that does not learn, because that part has no gradients.
        """
        f_settings = {
            "lr": cfg.SOLVER.MAP_NETWORK_LR,
            "betas": tuple(cfg.SOLVER.MAP_NETWORK_BETAS),
            "decoupled_weight_decay": cfg.SOLVER.MAP_NETWORK_DECOUPLED_DECAY,
        }
        groups = [
            {"params": model.map_network.parameters()} | f_settings,
            {"params": model.map_detector.parameters(), "lr": cfg.SOLVER.BASE_LR},
        ]
        # fused: one pass over the memory; the default makes a dozen
        optimizer = torch.optim.Adam(groups, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=True)
        if cfg.SOLVER.CLIP_GRADIENTS.ENABLED:
            optimizer.register_step_pre_hook(partial(_clip_gradients, cfg.SOLVER.CLIP_GRADIENTS))
        return optimizer

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Return Detectron2's scheduler, or SOLVER.MAP_NETWORK_DECAY of f's rate."""
        if cfg.SOLVER.MAP_NETWORK_DECAY.POWER:
            return FirstGroupDecay.from_config(cfg, optimizer)
        return super().build_lr_scheduler(cfg, optimizer)


def _clip_gradients(node: CfgNode, optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Clip the gradient of each parameter on its own, as Detectron2 does.

    Detectron2's own function fails for a parameter without a gradient, such as the idle part's.
    """
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.grad is None:
            continue
        if node.CLIP_TYPE == "value":
            torch.nn.utils.clip_grad_value_(parameter, node.CLIP_VALUE)
        else:
            torch.nn.utils.clip_grad_norm_(parameter, node.CLIP_VALUE, node.NORM_TYPE)
