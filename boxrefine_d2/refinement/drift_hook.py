"""The safety stop of refinement."""

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
    """Logs label-free signals while f learns; with REFINE.STOP_ON_DRIFT it goes back to the last good f and stops.

    Attributes:
        checks: what was measured, each with the number of iterations done, first before f learns.
        stopped: why and where it stopped, or None.
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
        """Measures every so many iterations of f. Raises: StopTraining on drift, if asked to."""
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
            "refinement stopped at %s; f is again what it was at the check before", self.stopped
        )
        # what evaluates at the end asks whether this was the last iteration
        self.trainer.max_iter = self.trainer.iter + 1
        self.trainer.checkpointer.save("model_final", iteration=self.trainer.iter)
        raise StopTraining(reason)

    def _build_probe(self) -> DriftProbe:
        """On the first training images that can be read, whole and unmirrored."""
        cfg, node = self._cfg, self._cfg.REFINE.DRIFT
        side = cfg.INPUT.SQUARE_SIZE
        mapper = SquareMapper(
            size=side, crop_area=(), crop_aspect=(1, 1), flip=False, seed=0, with_boxes=True
        )
        pictures: list[Tensor] = []
        self._labels = []
        for record in self._records:
            if len(pictures) == node.IMAGES:
                break
            try:
                sample = mapper({"annotations": [], **record}, 0)
            except ImageReadError:
                continue  # the stream reports it
            pictures.append(sample["image"])
            self._labels.append(to_xyxy(sample["target_boxes"], (side, side)))
        return DriftProbe(
            self.model.map_network.prepare(pictures),
            self.model.reference_network,
            self.model.discovery,
            cfg.TEST.IMS_PER_BATCH,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues."""
        kept = {"checks": self.checks, "stopped": self.stopped}
        return kept | {"refined": self._refined, "good": self._good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the checks of the run that was interrupted."""
        self.checks, self.stopped = list(state["checks"]), state["stopped"]
        self._refined = state["refined"]
        self._good = state["good"]


def check_row(
    iteration: int, signals: DriftSignals, boxes: Tensor, labels: Sequence[Tensor]
) -> dict[str, float]:
    """A check as the record keeps it: the signals and, if any picture has a label, CorLoc of the boxes in percent.

    CorLoc is there to judge the signals by; no limit reads it.

    Args: boxes: (P, 4) XYXY.  labels: for each picture (M, 4) in the same frame; M = 0 where it has none.
    """
    row = {"iteration": iteration, **asdict(signals)}
    if any(len(of) for of in labels):
        found = corloc(dict(enumerate(boxes.tolist())), dict(enumerate(labels)))
        row["corloc"] = found.percent
    return row
