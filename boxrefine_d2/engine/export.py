"""The network of a training run as one small file that `build_backbone` and every command reads."""

import copy
import shutil
from pathlib import Path

import safetensors.torch
from detectron2.config import CfgNode
from torch import nn

import boxrefine_d2
from boxrefine_d2.atomic_file import atomic_binary_file
from boxrefine_d2.language import Clip

from .results import config_sha256


def _facts(cfg: CfgNode) -> dict[str, str]:
    """How a network was trained."""
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
    whole = getattr(network, "trained_state", network.state_dict)()
    state = {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in whole.items()
    }
    metadata = {"backbone": name} | _facts(cfg)
    with atomic_binary_file(path) as file:
        file.write(safetensors.torch.save(state, metadata))


def write_clip(folder: Path, clip: Clip, cfg: CfgNode) -> None:
    """A folder that `build_clip` and `transformers` read, weights in half precision; whole or absent."""
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    whole = copy.deepcopy(clip.model).half()
    whole.config.update(_facts(cfg))
    whole.save_pretrained(making)
    clip.tokenizer.save_pretrained(making)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
