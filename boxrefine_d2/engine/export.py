"""The network of a training run as one small file that `build_backbone` and every command reads."""

from pathlib import Path

import safetensors.torch
import torch
from detectron2.config import CfgNode
from torch import nn

import boxrefine_d2
from boxrefine_d2.atomic_file import atomic_binary_file

from .results import config_sha256


def write_map_network(path: Path, network: nn.Module, cfg: CfgNode) -> None:
    """Writes the parameters in half precision, with backbone, version, seed and configuration as metadata."""
    state = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
    }
    metadata = {
        "backbone": cfg.MODEL.MAP_NETWORK.NAME,
        "version": boxrefine_d2.__version__,
        "seed": str(cfg.SEED),
        "iterations": str(cfg.SOLVER.MAX_ITER),
        "images_per_iteration": str(cfg.SOLVER.IMS_PER_BATCH),
        "config_sha256": config_sha256(cfg),
    }
    with atomic_binary_file(path) as file:
        file.write(safetensors.torch.save(state, metadata))
