"""Self-supervised training of f itself, by the same loop."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.data import ImageReadError, read_image
from boxrefine_d2.data.crops import ViewsMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.pretraining import SelfDistillation

from .distillation_hook import DistillationHook
from .export import write_network
from .loop import Trainer

MAP_NETWORK_FILE = "map_network.safetensors"
IMAGES_COMPARED = 16


class PretrainTrainer(Trainer):
    """Trains a `SelfDistillation`; its teacher is written to OUTPUT_DIR/map_network.safetensors at the end."""

    network: SelfDistillation
    learning_rates = "SOLVER.BASE_LR"

    def __init__(self, cfg: CfgNode):
        """Also refuses training images that are all the same picture. Raises: UserError."""
        super().__init__(cfg)
        check_images_differ(self.train_loader.dataset.records)

    def job_hooks(self) -> list[HookBase]:
        """The schedules, the teacher's average and the watch for collapse."""
        self.distillation_hook = DistillationHook(self.network, self.cfg)
        return [self.distillation_hook]

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW; no weight decay on biases, norms and single vectors, as DINO's code has it."""
        learning = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in learning if p.dim() > 1],
                "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            },
            {"params": [p for p in learning if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(groups, lr=cfg.SOLVER.BASE_LR, fused=True)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> ViewsMapper:
        """The views that the weighted terms need."""
        return ViewsMapper.from_config(cfg)

    def record(self) -> dict[str, Any]:
        """How long it took and how many images it saw; writes the teacher."""
        unreadable = self.unreadable_images()
        if comm.is_main_process():
            path = Path(self.cfg.OUTPUT_DIR) / MAP_NETWORK_FILE
            name = self.cfg.MODEL.MAP_NETWORK.NAME
            write_network(path, self.network.map_network, self.cfg, name=name)
        return {
            "images_seen": self.max_iter * self.cfg.SOLVER.IMS_PER_BATCH,
            "images": len(self.train_loader.dataset),
            "seconds": round(self.distillation_hook.seconds, 1),
            "unreadable_images": unreadable,
        }


def check_images_differ(records: Sequence[dict[str, Any]]) -> None:
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
