"""Evaluation of representer points: statistics first, then the boxes."""

import logging
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.data.loaders import WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers.classified import ClassTestMapper
from boxrefine_d2.errors import UserError

from .class_trainer import ClassTrainer
from .representer_points import RepresenterPoints, chosen_records
from .training_data import records_of

logger = logging.getLogger(__name__)


class RepresenterTrainer(ClassTrainer):
    """Evaluation of a `RepresenterPoints`, which does not learn."""

    network: RepresenterPoints
    learns = False

    @classmethod
    def check(cls, cfg: CfgNode, *, eval_only: bool) -> None:
        """Check sources and data. Raises: UserError if a list of data sets is empty."""
        for key in ("TRAIN", "TEST"):
            if not cfg.DATASETS[key]:
                use = "the statistics come from" if key == "TRAIN" else "to find boxes in"
                raise UserError(f"DATASETS.{key} is empty: name the images {use}")
        super().check(cfg, eval_only=eval_only)

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """Return None: no network is written."""
        return None

    @classmethod
    def load_trained(cls, model: nn.Module, cfg: CfgNode) -> None:
        """Load nothing: MODEL.CLASSIFIER names the weights."""

    @classmethod
    def evaluate(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Read the data of the statistics, then evaluate on DATASETS.TEST."""
        assert isinstance(model, RepresenterPoints)
        cls.observe(cfg, model.eval())
        return super().evaluate(cfg, model)

    @classmethod
    def observe(cls, cfg: CfgNode, model: RepresenterPoints) -> None:
        """Read the images of DATASETS.TRAIN once; only the first process does.

        Raises: UserError if no image can be read.
        """
        node = cfg.REPRESENTER_POINTS
        records = chosen_records(
            records_of(cfg.DATASETS.TRAIN),
            sampling_ratio=cfg.DISCOVERY.REPRESENTER.SAMPLING_RATIO,
            images_per_class=node.IMAGES_PER_CLASS if node.CLASSWISE else None,
        )
        if comm.is_main_process():
            mapper = ClassTestMapper(resize=node.SIDE, crop=node.SIDE)
            size = mapper.input_size(0, 0)
            batches = equal_size_batches(records, mapper, lambda _: size, cfg.TEST.IMS_PER_BATCH)
            loader = WholeImageLoader(batches, mapper, cfg.DATALOADER.NUM_WORKERS, what="observe")
            with torch.no_grad():
                for batch in loader:
                    model.observe(batch)
            _report(len(records), loader.unreadable)
        model.share_statistics()


def _report(images: int, unreadable: dict[str, str]) -> None:
    if len(unreadable) == images:
        raise UserError(
            f"no image of the statistics can be read; first: {next(iter(unreadable.values()))}"
        )
    left_out = f"; {len(unreadable)} could not be read" if unreadable else ""
    logger.info("statistics of representer points: %d images%s", images - len(unreadable), left_out)
