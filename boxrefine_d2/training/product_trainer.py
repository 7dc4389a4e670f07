"""Training whose product is a network in a file of its own."""

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
    """Trains a `ProductModel`, and writes its `map_network` to OUTPUT_DIR at the end."""

    network: ProductModel
    learning_rates = "SOLVER.BASE_LR"

    def __init__(self, cfg: CfgNode):
        """Also refuses training images that are all the same picture. Raises: UserError."""
        super().__init__(cfg)
        _check_images_differ(self.train_loader.dataset.records)

    def step_hook(self) -> TimedSteps:
        """The seed of each step, and what the model does in it."""
        return StepHook(self.network, self.cfg.SEED)

    def product(self) -> tuple[str, str]:
        """The file's name, and the network's."""
        return self.network.product_file, self.network.product_name

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """The product."""
        model: type[ProductModel] = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
        return model.product_file

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: Any) -> torch.optim.Optimizer:
        """AdamW with the model's groups; one that rests in a step has no gradients and is passed over."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        built: torch.optim.Optimizer = optimizer(
            model.parameter_groups(), lr=cfg.SOLVER.BASE_LR, fused=True
        )
        return built

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Crops squeezed to a square."""
        mapper: TrainMapper = SquareMapper(cfg)
        return mapper

    def job_hooks(self) -> list[HookBase]:
        """The step's."""
        self._steps = self.step_hook()
        return [self._steps]

    def record(self) -> dict[str, Any]:
        """How long it took and how many images it saw; writes the product."""
        if comm.is_main_process():
            file, name = self.product()
            path = Path(self.cfg.OUTPUT_DIR) / file
            write_network(path, self.network.map_network, self.cfg, name=name)
        return self.stream_record(self._steps)


def _check_images_differ(records: Sequence[dict[str, Any]]) -> None:
    """Looks at a few pictures, evenly spread. Raises: UserError if all of them are one picture."""
    chosen = records[:: max(1, len(records) // IMAGES_COMPARED)][:IMAGES_COMPARED]
    seen = set()
    for record in chosen:
        try:
            image = read_image(record["file_name"])
        except ImageReadError:
            continue  # the stream reports it when it gets there
        seen.add(hashlib.sha256(image.tobytes()).digest())
    if len(chosen) > 1 and len(seen) == 1:
        raise UserError(
            f"the training images are all alike: {len(chosen)} of {len(records)}, from "
            f"{chosen[0]['file_name']} on, are one picture; nothing can be learnt from that, look at DATASETS.TRAIN"
        )
