"""Trainers of the weight map and of its Siamese network."""

import logging
from dataclasses import asdict
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm

from boxrefine_d2.data.loaders import TrainMapper, WholeImageLoader
from boxrefine_d2.data.mappers.triplet import TripletMapper
from boxrefine_d2.errors import UserError

from .class_trainer import ClassTrainer, centre_crops, class_mapper
from .early_stop import KeepBestMap
from .training_data import hold_out, records_of
from .weight_map_training import WEIGHT_MAP, WeightMapModel

logger = logging.getLogger(__name__)


class SiameseTrainer(ClassTrainer):
    """Trainer of a `SiameseTraining`."""

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Return the mapper from an anchor to its triplet."""
        mapper: TrainMapper = TripletMapper(cls.training_records(cfg), class_mapper(cfg))
        return mapper


class WeightMapTrainer(ClassTrainer):
    """Trainer of method I, which keeps the network of the best maps."""

    network: WeightMapModel
    _held_out: WholeImageLoader | None = None
    _early_stop: KeepBestMap | None = None

    @classmethod
    def training_records(cls, cfg: CfgNode) -> list[dict[str, Any]]:
        """Return the images that are not held out."""
        return _parts(cfg)[0]

    def job_hooks(self) -> list[HookBase]:
        """Return the hook of the steps and that of early stopping, and state its images.

        Raises: UserError if early stopping has no images.
        """
        cfg, node = self.cfg, self.cfg.WEIGHT_MAP
        held_out = _parts(cfg)[1]
        if not held_out:
            if node.EARLY_STOP != "none":
                raise UserError(
                    f"WEIGHT_MAP.EARLY_STOP {node.EARLY_STOP} has no images: name some by "
                    "WEIGHT_MAP.VALIDATION, raise WEIGHT_MAP.HOLD_OUT above 0, or choose none"
                )
            return super().job_hooks()
        origin = "named by WEIGHT_MAP.VALIDATION" if node.VALIDATION else "held out of the training"
        learnt = len(self.train_loader.dataset)
        logger.info("%d images teach; %d are %s", learnt, len(held_out), origin)
        every_pass = -(-len(self.train_loader.dataset) // cfg.SOLVER.IMS_PER_BATCH)
        self._held_out = centre_crops(cfg, held_out, what="early stopping")
        self._early_stop = KeepBestMap(
            self.network,
            WEIGHT_MAP,
            self._held_out,
            records={record["file_name"]: record for record in held_out},
            period=node.CHECK_PERIOD or every_pass,
            bright_share=cfg.LOCALIZATION.BOX_SHARE,
            criterion=node.EARLY_STOP,
        )
        return [*super().job_hooks(), self._early_stop]

    def unreadable_images(self) -> dict[str, str]:
        """Return unreadable images -> reason, those of early stopping among them."""
        unreadable = super().unreadable_images()
        parts = comm.gather(self._held_out.unreadable if self._held_out else {}, dst=0)
        return unreadable | {name: reason for part in parts for name, reason in part.items()}

    def record(self) -> dict[str, Any]:
        """Write the network, and return the record of the run.

        It names the files of the frozen networks, and has all checks of the maps.
        """
        record = super().record()
        frozen = self.network.frozen.items()
        record["frozen"] = {name: asdict(network.weights_info) for name, network in frozen}
        stop = self._early_stop
        if stop and comm.is_main_process():
            record["map_checks"] = [asdict(check) for check in stop.checks]
            record["kept_iteration"] = stop.best.iteration if stop.best else None
        return record


class TripletWeightMapTrainer(WeightMapTrainer):
    """Trainer of method II."""

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Return the mapper from an anchor to its triplet."""
        mapper: TrainMapper = TripletMapper(cls.training_records(cfg), class_mapper(cfg))
        return mapper


def _parts(cfg: CfgNode) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the images to learn from, and those of early stopping."""
    records, node = records_of(cfg.DATASETS.TRAIN), cfg.WEIGHT_MAP
    if node.VALIDATION:
        return records, records_of(node.VALIDATION)
    return hold_out(records, node.HOLD_OUT, cfg.SEED)
