"""Trainer of the main job: h learns from the boxes of f's map, then f is refined through h."""

from itertools import islice
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm

from boxrefine_d2.data.images import ImageReadError, read_image
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.evaluation import RefinementEvaluator
from boxrefine_d2.networks.build import is_named_by_file
from boxrefine_d2.training.loop import whole_image_loader
from boxrefine_d2.training.product_file import write_network

from . import BoxRefiner
from .drift_hook import DriftHook
from .phased_trainer import PhasedTrainer
from .training_targets import mask_cells, prepared_records

PRODUCT_FILE = "map_network.safetensors"


class RefineTrainer(PhasedTrainer):
    """Trainer of a `BoxRefiner`, with its schedule and two learning rates."""

    network: BoxRefiner

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
        """Return the mapper that squeezes crops to a square, with masks if f learns from them."""
        mapper: SquareMapper = SquareMapper(cfg, mask_cells=mask_cells(cfg))
        return mapper

    @classmethod
    def training_records(cls, cfg: CfgNode) -> list[dict[str, Any]]:
        """Return the records of DATASETS.TRAIN, with reduced masks if f learns from them.

        Raises: UserError if the targets of REFINE.TARGETS or their masks are missing.
        """
        return prepared_records(cfg, super().training_records(cfg))

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """Return the name of the file of f, for an f whose form is in its file; else None."""
        return PRODUCT_FILE if is_named_by_file(cfg.MODEL.MAP_NETWORK.NAME) else None

    def record(self) -> dict[str, Any]:
        """Write f if its form is in its file, and return the measurements of the run.

        They are made on the first REFINE.RECORD_IMAGES training images that can be read. The means
        are on the main process only.
        """
        file, name = self.product_file(self.cfg), self.cfg.MODEL.MAP_NETWORK.NAME
        if file and comm.is_main_process():
            path = Path(self.cfg.OUTPUT_DIR) / file
            write_network(path, self.network.map_network, self.cfg, name=name)
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
