"""Trainer of the main job: h learns from the boxes of f's map, then f is refined through h."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.evaluation import inference_on_dataset

from boxrefine_d2.data.images import ImageReadError, read_image
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.evaluation import RefinementEvaluator
from boxrefine_d2.training.loop import whole_image_loader

from . import BoxRefiner
from .drift_hook import DriftHook
from .phased_trainer import PhasedTrainer


class RefineTrainer(PhasedTrainer):
    """Trainer of a `BoxRefiner`, with its schedule and two learning rates."""

    network: BoxRefiner

    def __init__(self, cfg: CfgNode):
        """Build the trainer. Raises: UserError if the targets of REFINE.TARGETS are missing."""
        super().__init__(cfg)
        check_targets(cfg.REFINE.TARGETS, self.train_loader.dataset.records)

    def job_hooks(self) -> list[HookBase]:
        """Return the hooks of the phases and the safety stop."""
        self.drift_hook = DriftHook(self.network, self.cfg, self.train_loader.dataset.records)
        return [*super().job_hooks(), self.drift_hook]

    def train(self) -> dict[str, Any]:
        """Train to the end, or until drift stops the run; a stopped run does not go on."""
        if self.drift_hook.stopped:
            return self.evaluate(self.cfg, self.network)
        return super().train()

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> SquareMapper:
        """Return the mapper that squeezes crops to a square."""
        mapper: SquareMapper = SquareMapper(cfg)
        return mapper

    def record(self) -> dict[str, Any]:
        """Return the measurements of the run.

        They are made on the first REFINE.RECORD_IMAGES training images that can be read. The means
        are on the main process only.
        """
        records = self.train_loader.dataset.records
        wanted = self.cfg.REFINE.RECORD_IMAGES
        readable = filter(_is_readable, records)
        measured_on = list(islice(readable, wanted)) if wanted else records
        evaluator = RefinementEvaluator(self.cfg.DISCOVERY.NAME)
        measured = inference_on_dataset(
            self.network, whole_image_loader(self.cfg, measured_on, "measure the run"), evaluator
        )
        record: dict[str, Any] = measured | {
            "weight_distance": self.network.weight_distance(),
            "seconds": {phase: round(s, 1) for phase, s in self.phase_hook.seconds.items()},
            "gradient_norm_first_block": self.phase_hook.first_block_gradient,
            "drift": self.drift_hook.checks,
            "stopped": self.drift_hook.stopped,
            "unreadable_images": self.unreadable_images(),
        }
        return record


def _is_readable(record: dict[str, Any]) -> bool:
    try:
        read_image(record["file_name"])
    except ImageReadError:
        return False  # the training stream reports the unreadable image
    return True


def check_targets(targets: str, records: Sequence[dict[str, Any]]) -> None:
    """Refuse a value of REFINE.TARGETS that the training images cannot serve.

    Raises: UserError for an unknown value, or if some or all images lack annotations.
    """
    known = ("rule", "reference", "annotations")
    check_choice("REFINE.TARGETS", targets, known)
    if targets != "annotations":
        return
    without = [record["file_name"] for record in records if "annotations" not in record]
    if without:
        raise UserError(
            f"REFINE.TARGETS annotations: {len(without)} of {len(records)} training images "
            f"have no labels (first: {without[0]}); add +pseudo=FILE, which tools/discover.py "
            "writes, or use REFINE.TARGETS rule"
        )
    if not any(record["annotations"] for record in records):
        raise UserError(
            f"REFINE.TARGETS annotations: the labels of all {len(records)} training images are "
            "empty; use another pseudo-label file, or REFINE.TARGETS rule"
        )
