"""What refinement of any map network shares: phases, and a learning rate for each of the two that learn in turn."""

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
    """The map network and h learn by a schedule."""

    learning_rates = "SOLVER.BASE_LR or SOLVER.MAP_NETWORK_LR"

    def job_hooks(self) -> list[HookBase]:
        """The phases."""
        self.phase_hook = PhaseHook(
            self.network,
            PhaseSchedule.from_config(self.cfg),
            fresh_head_seed=self.cfg.SEED if self.cfg.REFINE.FRESH_HEAD else None,
        )
        return [self.phase_hook]

    def progress(self) -> dict[str, str]:
        """Phase and loss."""
        return {"phase": self.network.phase, **super().progress()}

    def position_text(self) -> str:
        """Iteration and phase."""
        return f"{super().position_text()} (phase {self.network.phase})"

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: PhasedRefiner) -> torch.optim.Optimizer:
        """Adam with f and h in groups of their own; the idle one has no gradients and is passed over."""
        of_f = {
            "lr": cfg.SOLVER.MAP_NETWORK_LR,
            "betas": tuple(cfg.SOLVER.MAP_NETWORK_BETAS),
            "decoupled_weight_decay": cfg.SOLVER.MAP_NETWORK_DECOUPLED_DECAY,
        }
        groups = [
            {"params": model.map_network.parameters()} | of_f,
            {"params": model.map_detector.parameters(), "lr": cfg.SOLVER.BASE_LR},
        ]
        # fused: one pass over the memory, where the default makes a dozen
        return torch.optim.Adam(groups, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=True)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Detectron2's, or SOLVER.MAP_NETWORK_DECAY of f's rate."""
        if cfg.SOLVER.MAP_NETWORK_DECAY.POWER:
            return FirstGroupDecay.from_config(cfg, optimizer)
        return super().build_lr_scheduler(cfg, optimizer)
