"""Trainer of classifiers, which tells the accuracy on images that are held out."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from boxrefine_d2.data.image_labels import label_of

from .class_trainer import ClassTrainer, centre_crops
from .training_data import Records, hold_out, records_of


class ClassifierTrainer(ClassTrainer):
    """Trainer of a `ClassifierTraining`."""

    @classmethod
    def training_records(cls, cfg: CfgNode) -> Records:
        """Return the images that are not held out."""
        return _parts(cfg)[0]

    def record(self) -> dict[str, Any]:
        """Write the network, and return the record of the run.

        Its "held_out" is a list of [image id, class, predicted class], contiguous from 0, over the
        images that are held out and can be read.
        """
        record = super().record()
        parts = comm.gather(self._held_out(), dst=0)
        rows = [row for part in parts for row in part]
        return record | ({"held_out": rows} if rows else {})

    @torch.no_grad()
    def _held_out(self) -> list[list[Any]]:
        images = {record["image_id"]: record for record in _parts(self.cfg)[1]}
        if not images:
            return []
        self.network.eval()
        rows = []
        for batch in centre_crops(self.cfg, list(images.values()), "held-out images"):
            for x, answer in zip(batch, self.network.answers(batch), strict=True):
                assert answer.labels is not None
                rows.append([x["image_id"], label_of(images[x["image_id"]]), answer.labels[0]])
        return rows


def _parts(cfg: CfgNode) -> tuple[Records, Records]:
    """Return the images to learn from, and those that are held out."""
    share = cfg.MODEL.CLASSIFIER.HOLD_OUT
    return hold_out(records_of(cfg.DATASETS.TRAIN), share, cfg.SEED, "MODEL.CLASSIFIER.HOLD_OUT")
