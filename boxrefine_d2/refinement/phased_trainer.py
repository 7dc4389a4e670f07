"""Trainer base for the refinement of any map network: phases, and two learning rates."""

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.solver.build import maybe_add_gradient_clipping
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
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.Adam)
        built: torch.optim.Optimizer = optimizer(
            groups, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=True
        )
        return built

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Return Detectron2's scheduler, or SOLVER.MAP_NETWORK_DECAY of f's rate."""
        if cfg.SOLVER.MAP_NETWORK_DECAY.POWER:
            return FirstGroupDecay.from_config(cfg, optimizer)
        return super().build_lr_scheduler(cfg, optimizer)
