"""Hook of self-distillation: schedules, the teacher's update and the check for collapse."""

from typing import Any

from detectron2.config import CfgNode
from fvcore.common.param_scheduler import CosineParamScheduler

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.step_hook import TimedSteps

from . import SelfDistillation


class DistillationHook(TimedSteps):
    """Schedules of weight decay, teacher temperature and momentum; update and check of the teacher.

    Attributes: steps_collapsed: number of consecutive steps in which the teacher was collapsed.
    """

    def __init__(self, model: SelfDistillation, cfg: CfgNode):
        super().__init__(cfg.SEED)
        self.model = model
        self.steps_collapsed = 0
        self._node = cfg.PRETRAIN
        self._weight_decay = CosineParamScheduler(
            cfg.SOLVER.WEIGHT_DECAY, cfg.PRETRAIN.WEIGHT_DECAY_END
        )
        self._momentum = CosineParamScheduler(cfg.PRETRAIN.TEACHER_MOMENTUM, 1.0)

    def before_train(self) -> None:
        """Register the drop of gradients between backward and step."""
        self.trainer.optimizer.register_step_pre_hook(lambda *_: self._keep_last_layer())

    def _keep_last_layer(self) -> None:
        """Keep the last layer of the student's head fixed in the first iterations."""
        frozen = self.trainer.iter < self._node.DINO.FREEZE_LAST_LAYER_ITERS
        if frozen and self.model.distillation is not None:
            self.model.distillation.freeze_last_layer()

    def before_step(self) -> None:
        """Set the values of the schedules."""
        super().before_step()
        self.seed_step()
        iteration = self.trainer.iter
        self._done = iteration / self.trainer.max_iter
        decayed = self.trainer.optimizer.param_groups[0]
        decayed["weight_decay"] = self._weight_decay(self._done)
        if self.model.distillation is not None:
            first, last = self._node.DINO.TEACHER_TEMPERATURE
            warm = min(1.0, iteration / max(1, self._node.DINO.TEMPERATURE_ITERS))
            self.model.distillation.teacher_temperature = first + warm * (last - first)

    def after_step(self) -> None:
        """Update the teacher. Raises: UserError if the teacher has collapsed."""
        self.model.update_teacher(self._momentum(self._done))
        super().after_step()
        outputs = self.model.teacher_outputs
        if outputs is None:
            return
        collapsed = outputs.information < self._node.DINO.COLLAPSE_NATS
        self.steps_collapsed = self.steps_collapsed + 1 if collapsed else 0
        if self.steps_collapsed >= self._node.DINO.COLLAPSE_ITERS:
            raise UserError(
                f"the teacher has collapsed: for {self.steps_collapsed} iterations up to "
                f"{self.trainer.iter} its outputs told the crops of a batch apart by "
                f"{outputs.information:.4f} nats (entropy {outputs.entropy:.2f}). Check that the "
                "images are not all alike; lower SOLVER.BASE_LR or "
                "PRETRAIN.DINO.TEACHER_TEMPERATURE, or raise SOLVER.IMS_PER_BATCH"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the counts that a resumed run continues."""
        return super().state_dict() | {"steps_collapsed": self.steps_collapsed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts of the interrupted run."""
        super().load_state_dict(state)
        self.steps_collapsed = state["steps_collapsed"]
