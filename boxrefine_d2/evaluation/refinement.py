"""Evaluator of the changes that a refinement makes to the boxes; it needs no labels."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torchvision.ops import box_iou

from .sources import REFINED

logger = logging.getLogger(__name__)


class RefinementEvaluator(DatasetEvaluator):
    """Evaluator that compares the outputs of a `BoxRefiner` with each other.

    `evaluate()` returns (only `images`, 0, without any image; {} on ranks other than the main
    one)::

        images                 number of images measured
        h_hits_pseudo_box      percent of images in which the best box of h has IoU >= 0.5 with the
                               rule's box on the same square input; absent if h never learns
        boxes_changed          percent of images in which the rule's boxes on f before and on f^h
                               differ
        feature_shift          mean relative L2 distance of the keys of f^h to those of f
    """

    def __init__(self, rule: str):
        """Create an evaluator without outputs.

        Args: rule: name under which the outputs hold the rule's boxes on f before.
        """
        self._rule = rule
        self.reset()

    def reset(self) -> None:
        """Forget all outputs."""
        self._rows: dict[str, tuple[bool | None, bool, float]] = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Keep three numbers per image."""
        for record, output in zip(inputs, outputs, strict=True):
            before, after = output["pseudo_boxes"][self._rule], output["pseudo_boxes"][REFINED]
            self._rows[record["file_name"]] = (
                _h_hits(output),
                not before.boxes.equal(after.boxes),
                output["feature_shift"],
            )

    def evaluate(self) -> dict[str, float]:
        """Collect the outputs of all ranks and average them."""
        parts = comm.gather(self._rows, dst=0)
        if not comm.is_main_process():
            return {}
        rows = list({key: row for part in parts for key, row in part.items()}.values())
        if not rows:
            logger.warning("no image could be read: what refinement changed is not measured")
            return {"images": 0}
        hits, changed, shift = zip(*rows, strict=True)
        of_h = {} if None in hits else {"h_hits_pseudo_box": 100 * (sum(hits) / len(rows))}
        return {
            "images": len(rows),
            **of_h,
            "boxes_changed": 100 * (sum(changed) / len(rows)),
            "feature_shift": sum(shift) / len(rows),
        }


def _h_hits(output: Mapping[str, Any]) -> bool | None:
    """Return whether h's best box meets the rule's; None for the output of an h that is absent."""
    if "instances" not in output:
        return None
    target = output["detector_target"].boxes[:1]
    iou = box_iou(output["instances"].pred_boxes.tensor[:1], target)
    return bool((iou >= 0.5).any())
