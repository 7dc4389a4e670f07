"""The training loop, its phases and its launch."""

from .checkpoint import SafeCheckpointer, load_trained
from .launch import run_distributed, run_torchrun
from .phases import PhaseSchedule
from .results import inference_folder, write_results
from .setup import find_config, load_config, setup, shipped_configs
from .trainer import RefineTrainer

__all__ = [
    "PhaseSchedule",
    "RefineTrainer",
    "SafeCheckpointer",
    "find_config",
    "inference_folder",
    "load_config",
    "load_trained",
    "run_distributed",
    "run_torchrun",
    "setup",
    "shipped_configs",
    "write_results",
]
