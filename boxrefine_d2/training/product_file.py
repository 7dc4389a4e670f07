"""Writer of the network of a training run to one small file.

`build_backbone` and every command can read the file.
"""

from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

import boxrefine_d2
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.safetensors_file import in_half_precision, safetensors_bytes
from boxrefine_d2.networks.map_network import trained_state
from boxrefine_d2.networks.weights import file_facts

from .results_file import config_sha256


def training_metadata(cfg: CfgNode) -> dict[str, str]:
    """Return the facts about a network's training that its file holds."""
    return {
        "version": boxrefine_d2.__version__,
        "seed": str(cfg.SEED),
        "iterations": str(cfg.SOLVER.MAX_ITER),
        "images_per_iteration": str(cfg.SOLVER.IMS_PER_BATCH),
        "config_sha256": config_sha256(cfg),
    }


def write_network(path: Path, network: nn.Module, cfg: CfgNode, *, name: str) -> None:
    """Write the parameters in half precision; name, facts and `training_metadata` are metadata.

    If only a part of the network learns, the file holds only that part, see `trained_state`.
    Counters stay whole numbers.
    """
    half = in_half_precision(trained_state(network))
    state = {key: value.detach().cpu().contiguous() for key, value in half.items()}
    metadata = {"backbone": name} | training_metadata(cfg) | file_facts(network)
    with atomic_binary_file(path) as file:
        file.write(safetensors_bytes(state, metadata))
