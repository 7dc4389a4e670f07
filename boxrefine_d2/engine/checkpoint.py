"""Detectron2's checkpointer with our loader: no code in a file is run, and a file is whole or absent."""

from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import nn

from boxrefine_d2.atomic_file import atomic_binary_file, atomic_text_file
from boxrefine_d2.errors import UserError
from boxrefine_d2.features.weights import read_checkpoint


class SafeCheckpointer(DetectionCheckpointer):
    """Reads .pth, .pkl and .safetensors through `features.weights`; writes through a temporary file."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        content = read_checkpoint(filename)
        return content if "model" in content else {"model": content}

    def save(self, name: str, **kwargs: Any) -> None:
        """Writes model, optimizer, scheduler and `kwargs`, then names the file as the last checkpoint."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: thing.state_dict() for key, thing in self.checkpointables.items()}
        data |= kwargs
        with atomic_binary_file(Path(self.save_dir) / f"{name}.pth") as file:
            torch.save(data, file)
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Names the newest checkpoint, atomically."""
        with atomic_text_file(Path(self.save_dir) / "last_checkpoint") as file:
            file.write(last_filename_basename)


def load_trained(model: nn.Module, cfg: CfgNode) -> None:
    """MODEL.WEIGHTS, or else the newest checkpoint of OUTPUT_DIR, into a model that is to be evaluated.

    Raises: UserError if there is neither: an untrained h would be scored as if it were a result.
    """
    checkpointer = SafeCheckpointer(model, cfg.OUTPUT_DIR)
    if not cfg.MODEL.WEIGHTS and not checkpointer.has_checkpoint():
        raise UserError(
            f"nothing to evaluate: OUTPUT_DIR {cfg.OUTPUT_DIR} holds no checkpoint and MODEL.WEIGHTS is empty"
        )
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=not cfg.MODEL.WEIGHTS)
