"""Trainer of models whose training writes a network to a file of its own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm

from boxrefine_d2.data import ImageReadError, read_image
from boxrefine_d2.data.loaders import TrainMapper
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.errors import UserError

from .loop import Trainer
from .product_file import write_network
from .product_model import ProductModel
from .step_hook import StepHook, TimedSteps

IMAGES_COMPARED = 16


class ProductTrainer(Trainer):
    """Trainer of a `ProductModel`, which writes its `map_network` to OUTPUT_DIR at the end."""

    network: ProductModel
    learning_rates = "SOLVER.BASE_LR"

    def __init__(self, cfg: CfgNode):
        """Build the trainer. Raises: UserError if all training images are the same image."""
        super().__init__(cfg)
        _check_images_differ(self.train_loader.dataset.records)

    def step_hook(self) -> TimedSteps:
        """Return the hook that seeds each step and tells the model the iteration."""
        return StepHook(self.network, self.cfg.SEED)

    def product(self) -> tuple[str, str]:
        """Return the name of the file and the name of the network."""
        return self.network.product_file, self.network.product_name

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """Return the name of the file that the training writes."""
        model: type[ProductModel] = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
        return model.product_file

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: Any) -> torch.optim.Optimizer:
        """Return AdamW with the model's groups; it skips a group without gradients."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        built: torch.optim.Optimizer = optimizer(
            model.parameter_groups(), lr=cfg.SOLVER.BASE_LR, fused=True
        )
        return built

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Return the mapper that squeezes crops to a square."""
        mapper: TrainMapper = SquareMapper(cfg)
        return mapper

    def job_hooks(self) -> list[HookBase]:
        """Return the hook of the steps."""
        self._steps = self.step_hook()
        return [self._steps]

    def record(self) -> dict[str, Any]:
        """Write the network, and return the seconds of the run and the images that it saw."""
        if comm.is_main_process():
            file, name = self.product()
            path = Path(self.cfg.OUTPUT_DIR) / file
            write_network(path, self.network.map_network, self.cfg, name=name)
        return self.stream_record(self._steps)


def _check_images_differ(records: Sequence[dict[str, Any]]) -> None:
    """Compare a few images, evenly spread. Raises: UserError if all of them are the same image."""
    chosen = records[:: max(1, len(records) // IMAGES_COMPARED)][:IMAGES_COMPARED]
    seen = set()
    for record in chosen:
        try:
            image = read_image(record["file_name"])
        except ImageReadError:
            continue  # the stream of images reports it
        seen.add(hashlib.sha256(image.tobytes()).digest())
    if len(chosen) > 1 and len(seen) == 1:
        raise UserError(
            f"the training images are all alike: {len(chosen)} of {len(records)}, from "
            f"{chosen[0]['file_name']} on, are one image; nothing can be learnt from that; "
            "check DATASETS.TRAIN"
        )
