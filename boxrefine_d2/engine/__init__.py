"""The training loop, the jobs that use it, and their launch."""

from .cad_trainer import CADTrainer
from .checkpoint import SafeCheckpointer, load_trained
from .command import check_command, training_command
from .detection_evaluator import DETECTIONS_FILE
from .jobs import trainer_for
from .launch import run_distributed, run_torchrun
from .phases import PhaseSchedule
from .pretrain_trainer import PretrainTrainer
from .refine_trainer import RefineTrainer
from .results import config_sha256, inference_folder, write_results
from .setup import load_config, setup

__all__ = [
    "CADTrainer",
    "DETECTIONS_FILE",
    "PhaseSchedule",
    "PretrainTrainer",
    "RefineTrainer",
    "SafeCheckpointer",
    "check_command",
    "config_sha256",
    "inference_folder",
    "load_config",
    "load_trained",
    "run_distributed",
    "run_torchrun",
    "setup",
    "trainer_for",
    "training_command",
    "write_results",
]
