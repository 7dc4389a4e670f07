"""Safety stop of refinement."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import Tensor

from boxrefine_d2.data.images import ImageReadError
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.evaluation import corloc
from boxrefine_d2.structures import to_xyxy
from boxrefine_d2.training.hooks import StopTraining

from .box_refiner import BoxRefiner
from .drift import DriftLimits, DriftProbe, DriftSignals
from .phased_refiner import REFINE

logger = logging.getLogger(__name__)


class DriftHook(HookBase):
    """Hook that logs label-free signals while f learns.

    With REFINE.STOP_ON_DRIFT it restores the last good f and stops the training.

    Attributes:
        checks: the measurements, each with the number of iterations done; the first was made
            before f learns.
        stopped: reason and iteration of the stop, or None.
    """

    def __init__(self, model: BoxRefiner, cfg: CfgNode, records: Sequence[dict[str, Any]]):
        self.model = model
        self.checks: list[dict[str, float]] = []
        self.stopped: str | None = None
        self._cfg = cfg
        self._records = records
        node = cfg.REFINE.DRIFT
        self._period = node.PERIOD
        self._stops = cfg.REFINE.STOP_ON_DRIFT
        self._limits = DriftLimits(node.AGREEMENT_LOSS, node.AREA_FACTOR, node.FEATURE_SHIFT)
        self._probe: DriftProbe | None = None
        self._labels: list[Tensor] = []
        self._refined = 0
        self._good: dict[str, Tensor] | None = None

    def after_step(self) -> None:
        """Measure every REFINE.DRIFT.PERIOD iterations of f.

        Raises: StopTraining on drift, if REFINE.STOP_ON_DRIFT is set.
        """
        if self._period == 0 or self.model.phase != REFINE:
            return
        if self._probe is None:
            self._probe = self._build_probe()
            if not self.checks:
                start, boxes = self._probe.start, self._probe.start_boxes
                self.checks.append(check_row(self.trainer.iter, start, boxes, self._labels))
        self._refined += 1
        if self._refined % self._period:
            return
        now, boxes = self._probe.measure(self.model.map_network)
        self.checks.append(check_row(self.trainer.iter + 1, now, boxes, self._labels))
        for name, value in self.checks[-1].items():
            if name != "iteration":
                self.trainer.storage.put_scalar(f"drift/{name}", value, smoothing_hint=False)
        if self._stops:
            self._stop_if_needed(now, self._probe.start)

    def _stop_if_needed(self, now: DriftSignals, start: DriftSignals) -> None:
        reason = self._limits.exceeded(now, start)
        if reason is None:
            self._good = copy.deepcopy(self.model.map_network.state_dict())
            return
        good = self._good or self.model.reference_network.state_dict()
        self.model.map_network.load_state_dict(good)
        self.stopped = f"iteration {self.trainer.iter + 1}: {reason}"
        logger.warning(
            "refinement stopped at %s; f has the weights of the last check without drift",
            self.stopped,
        )
        # the evaluation at the end runs only if this was the last iteration
        self.trainer.max_iter = self.trainer.iter + 1
        self.trainer.checkpointer.save("model_final", iteration=self.trainer.iter)
        raise StopTraining(reason)

    def _build_probe(self) -> DriftProbe:
        """Build the probe from the first readable training images, whole and not mirrored."""
        cfg, node = self._cfg, self._cfg.REFINE.DRIFT
        side = cfg.INPUT.SQUARE_SIZE
        mapper = SquareMapper(
            size=side, crop_area=(), crop_aspect=(1, 1), flip=False, seed=0, with_boxes=True
        )
        images: list[Tensor] = []
        self._labels = []
        for record in self._records:
            if len(images) == node.IMAGES:
                break
            try:
                sample = mapper({"annotations": [], **record}, 0)
            except ImageReadError:
                continue  # the training stream reports the unreadable image
            images.append(sample["image"])
            self._labels.append(to_xyxy(sample["target_boxes"], (side, side)))
        return DriftProbe(
            self.model.map_network.prepare(images),
            self.model.reference_network,
            self.model.discovery,
            cfg.TEST.IMS_PER_BATCH,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run continues from."""
        kept = {"checks": self.checks, "stopped": self.stopped}
        return kept | {"refined": self._refined, "good": self._good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks of the interrupted run."""
        self.checks, self.stopped = list(state["checks"]), state["stopped"]
        self._refined = state["refined"]
        self._good = state["good"]


def check_row(
    iteration: int, signals: DriftSignals, boxes: Tensor, labels: Sequence[Tensor]
) -> dict[str, float]:
    """Return a check in the form of the record.

    It holds the signals. If any image has labels, it also holds CorLoc of the boxes in percent,
    for judging the signals; no limit reads it.

    Args:
        boxes: (P, 4) XYXY.
        labels: boxes of each image, (M, 4) in the same frame; M = 0 if it has none.
    """
    row = {"iteration": iteration, **asdict(signals)}
    if any(len(boxes_of_image) for boxes_of_image in labels):
        result = corloc(dict(enumerate(boxes.tolist())), dict(enumerate(labels)))
        row["corloc"] = result.percent
    return row
