"""Early stopping of the weight map by the share of the map inside its own box (arXiv:2111.14131).

No box of a person is needed. The map first covers the object, then falls apart into discriminative
parts, which the box of the largest contour leaves out.
"""

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor

from boxrefine_d2.discovery.largest_contour import bright_pixels, largest_contour
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.corloc import is_localised
from boxrefine_d2.evaluation.ground_truth import ground_truth_boxes, protocol_for
from boxrefine_d2.structures import ResizedCrop

from .class_model import ClassModel

logger = logging.getLogger(__name__)
EXCESS = "inside_excess"
Batch = Sequence[dict[str, Any]]


class Inside(NamedTuple):
    """Box of a map, and the share of the bright part of the map inside it.

    Attributes:
        box: (4,) XYXY, half-open, pixels of the map.
        share: in [0, 1]; 0 for a map without a bright part.
    """

    box: np.ndarray
    share: float


def inside_share(heatmap: np.ndarray, bright_share: float) -> Inside:
    """Return the box of the largest contour of a map (H, W), and S of the paper.

    Args: bright_share: a pixel is bright from this share of the largest value.
    """
    mask = bright_pixels(heatmap, bright_share)
    _, box = largest_contour(mask)
    bright = np.where(mask, heatmap, 0.0).astype(np.float64)
    x1, y1, x2, y2 = box
    total = bright.sum()
    return Inside(box, float(bright[y1:y2, x1:x2].sum() / total) if total > 0 else 0.0)


@dataclass(frozen=True)
class MapCheck:
    """Means over the validation images at one moment of the training.

    Attributes:
        iteration: number of iterations done.
        inside_share: mean of S, in [0, 1].
        inside_excess: mean of S less the share of the image that the box covers (ours). S alone is
            1 for a map that covers the whole image, as at the start of a training.
        mean_map: mean value of the maps.
        gt_known: percent of the images whose box is on an object, for the report alone; None where
            no image has boxes.
    """

    iteration: int
    inside_share: float
    inside_excess: float
    mean_map: float
    gt_known: float | None


class KeepBestMap(HookBase):
    """Hook that measures the maps once a period, and ends the training with the best network.

    The earlier one of equal checks is kept. A resumed run continues with the checks and the network
    of the interrupted one.

    Attributes: checks: all measurements, in order.
    """

    def __init__(
        self,
        model: ClassModel,
        producer: str,
        batches: Iterable[Batch],
        *,
        records: Mapping[str, Mapping[str, Any]],
        period: int,
        bright_share: float,
        criterion: str,
    ):
        """Create the hook.

        Args:
            producer: producer of the map whose S counts.
            batches: this rank's validation inputs, results of `ClassTestMapper`.
            records: file name -> record, whose boxes are for the report alone.
            period: iterations between two checks.
            criterion: "inside_share", whose highest mean is the best; "inside_excess", the same for
                the mean of a check and the one before; "none" to end with the last network.
        """
        self.model, self.producer, self._batches = model, producer, batches
        self._records, self._period = records, period
        self._bright_share, self._criterion = bright_share, criterion
        self.checks: list[MapCheck] = []
        self._best: dict[str, Tensor] = {}

    @property
    def best(self) -> MapCheck | None:
        """The best check, the first among equals; None before the first check."""
        if self._criterion == "none":
            return self.checks[-1] if self.checks else None
        return max(zip(self.checks, self._scores()), key=itemgetter(1), default=(None,))[0]

    def _scores(self) -> list[float]:
        """Return the value of each check by the criterion.

        The excess of single checks jumps where the map changes quickly, so a check counts together
        with the one before.
        """
        values = [getattr(check, self._criterion) for check in self.checks]
        if self._criterion != EXCESS:
            return values
        return [(one + other) / 2 for one, other in zip([*values[:1], *values], values)]

    def after_step(self) -> None:
        """Check once a period and at the end; at the end, restore the best network."""
        done = self.trainer.iter + 1
        ends = done >= self.trainer.max_iter
        if done % self._period and not ends:
            return
        self.checks.append(self._measure(done))
        for name, value in asdict(self.checks[-1]).items():
            if value is not None and name != "iteration":
                self.trainer.storage.put_scalar(f"map/{name}", value, smoothing_hint=False)
        if self.best is self.checks[-1]:
            self._best = copy.deepcopy(self.model.map_network.state_dict())
        if ends and self.best is not None:
            self.model.map_network.load_state_dict(self._best)
            logger.info(
                "the network of iteration %d is kept: %.1f %% of its maps lie inside their boxes",
                *(self.best.iteration, 100 * self.best.inside_share),
            )

    @torch.no_grad()
    def _measure(self, iteration: int) -> MapCheck:
        self.model.eval()
        rows = [
            self._row(x, answer.heatmaps[self.producer].numpy())
            for batch in self._batches
            for x, answer in zip(batch, self.model.answers(list(batch)), strict=True)
        ]
        self.model.train()
        every = [row for part in comm.all_gather(rows) for row in part]
        if not every:
            raise UserError("early stopping: none of its images can be read; see the warnings")
        shares, excesses, means, hits = zip(*every, strict=True)
        known = [hit for hit in hits if hit is not None]
        gt_known = 100 * float(np.mean(known)) if known else None
        share, excess, mean = (float(np.mean(values)) for values in (shares, excesses, means))
        return MapCheck(iteration, share, excess, mean, gt_known)

    def _row(
        self, x: dict[str, Any], heatmap: np.ndarray
    ) -> tuple[float, float, float, bool | None]:
        """Return S, its excess, the mean of the map, and whether its box is on an object."""
        found = inside_share(heatmap, self._bright_share)
        x1, y1, x2, y2 = found.box.tolist()
        excess = found.share - (x2 - x1) * (y2 - y1) / heatmap.size
        hit = self._is_hit(x["file_name"], found.box, x["frame"])
        return found.share, excess, float(heatmap.mean()), hit

    def _is_hit(self, file_name: str, box: np.ndarray, frame: ResizedCrop) -> bool | None:
        record = self._records.get(file_name, {})
        truth = ground_truth_boxes(record, protocol_for("lost"))
        if not len(truth):
            return None
        in_image = frame.boxes_to_image(box[None].astype(np.float64))[0].tolist()
        return is_localised(in_image, truth)

    def state_dict(self) -> dict[str, Any]:
        """Return checks and best network, for a resumed run."""
        return {"checks": [asdict(check) for check in self.checks], "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the checks and the best network of the interrupted run."""
        self.checks = [MapCheck(**check) for check in state["checks"]]
        self._best = state["best"]
