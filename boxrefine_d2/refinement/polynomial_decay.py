"""Learning rate that falls along a polynomial after a given iteration."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier
from fvcore.common.param_scheduler import ConstantParamScheduler

from boxrefine_d2.errors import UserError


class FirstGroupDecay(LRMultiplier):
    """Scheduler that multiplies the rate of an optimizer's first group by a falling polynomial.

    The factor is (1 - t / length) ** power, t iterations after `start`. It is 1 before `start`,
    and 0 from `start` + `length` on. It changes every `every` iterations. Other groups keep their
    rates. The base class is needed because Detectron2 saves the state of its own schedulers only.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        power: float,
        start: int,
        length: int,
        every: int,
        max_iter: int,
    ):
        self.power, self.start, self.length, self.every = power, start, length, every
        super().__init__(optimizer, ConstantParamScheduler(1.0), max_iter)

    @classmethod
    def from_config(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> "FirstGroupDecay":
        """Return the scheduler of SOLVER.MAP_NETWORK_DECAY.

        Raises: UserError together with other changes of the rates, or for lengths below 1.
        """
        node = cfg.SOLVER.MAP_NETWORK_DECAY
        if cfg.SOLVER.STEPS or cfg.SOLVER.WARMUP_ITERS:
            raise UserError(
                "SOLVER.MAP_NETWORK_DECAY.POWER does not go together with SOLVER.STEPS or "
                "SOLVER.WARMUP_ITERS: set POWER to 0, or STEPS to () and WARMUP_ITERS to 0"
            )
        if min(node.ITERS, node.EVERY_ITERS) < 1:
            raise UserError(
                f"SOLVER.MAP_NETWORK_DECAY: ITERS {node.ITERS} and EVERY_ITERS {node.EVERY_ITERS} "
                "must be at least 1"
            )
        return cls(
            optimizer,
            power=node.POWER,
            start=cfg.REFINE.WARMUP_ITERS,
            length=node.ITERS,
            every=node.EVERY_ITERS,
            max_iter=cfg.SOLVER.MAX_ITER,
        )

    def get_lr(self) -> list[float]:
        """Return the rates at the current iteration."""
        first, *rest = self.base_lrs
        done = max(self.last_epoch - self.start, 0) // self.every * self.every
        return [first * max(1 - done / self.length, 0.0) ** self.power, *rest]
