"""Detectron2's checkpointer with our loader: no code in a file is run, and a file is whole or absent."""

from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from boxrefine_d2.atomic_file import atomic_binary_file, atomic_text_file
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
