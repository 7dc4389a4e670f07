"""The network of a training run as one small file that `build_backbone` and every command reads."""

from pathlib import Path

import safetensors.torch
from detectron2.config import CfgNode
from torch import nn

import boxrefine_d2
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.networks.map_network import trained_state

from .results_file import config_sha256


def training_metadata(cfg: CfgNode) -> dict[str, str]:
    """Return how a network was trained, as its file keeps it."""
    return {
        "version": boxrefine_d2.__version__,
        "seed": str(cfg.SEED),
        "iterations": str(cfg.SOLVER.MAX_ITER),
        "images_per_iteration": str(cfg.SOLVER.IMS_PER_BATCH),
        "config_sha256": config_sha256(cfg),
    }


def write_network(path: Path, network: nn.Module, cfg: CfgNode, *, name: str) -> None:
    """Writes the parameters in half precision, with name, version, seed and configuration as metadata.

    Of a network of which a part learns alone, `trained_state`, that part. Counters stay whole numbers.
    """
    whole = trained_state(network)
    state = {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in whole.items()
    }
    metadata = {"backbone": name} | training_metadata(cfg)
    with atomic_binary_file(path) as file:
        file.write(safetensors.torch.save(state, metadata))
