"""From a command line to a frozen configuration."""

import argparse
import logging
import secrets
from contextlib import suppress
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.config_file import read_config
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.networks.device import check_device

from .config_merge import merge_content, merge_pairs
from .run_inputs import CONFIG_FILE, check_inputs_stay

logger = logging.getLogger(__name__)

# files of an earlier run that a new one in the same folder must not continue
_RUN_FILES = ("metrics.json", "results.json", "last_checkpoint")


def load_config(config_file: str, opts: list[str]) -> CfgNode:
    """Defaults, then the file with its bases, then KEY VALUE pairs; every value is one that its key can have.

    Raises: UserError for a file that cannot be read as data, an unknown key, or a value that its key cannot have.
    """
    cfg, path = boxrefine_cfg(), find_config(config_file)
    merge_content(cfg, read_config(path), f"configuration file {str(path)!r}")
    merge_pairs(cfg, opts)
    cfg.OUTPUT_DIR = str(user_path(cfg.OUTPUT_DIR))
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def setup(args: argparse.Namespace) -> CfgNode:
    """The frozen configuration; opens the log and writes config.yaml to OUTPUT_DIR.

    SEED -1 becomes a seed that is drawn, or the one that the run in OUTPUT_DIR drew before.

    Raises: UserError, before anything is written, for a configuration, a device or an OUTPUT_DIR that cannot be used.
    """
    cfg = load_config(args.config_file, args.opts)
    begins = not (args.resume or args.eval_only)
    if cfg.SEED < 0:
        cfg.SEED = _seed_in_place_of_none(Path(cfg.OUTPUT_DIR), begins=begins)
    cfg.freeze()
    check_device(cfg.MODEL.DEVICE)
    args.config_file = str(find_config(args.config_file))
    check_inputs_stay(cfg, args.config_file, trains=begins)
    check_output_folder(cfg.OUTPUT_DIR, flag="OUTPUT_DIR")
    if comm.is_main_process() and begins:
        for name in _RUN_FILES:
            (Path(cfg.OUTPUT_DIR) / name).unlink(missing_ok=True)
    default_setup(cfg, args)
    # what this package says is shown and kept beside what Detectron2 says
    ours = setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="boxrefine_d2")
    ours.setLevel(logging.INFO)
    ours.propagate = True  # to whoever listens at the root, too
    logger.info("device: %s", cfg.MODEL.DEVICE)
    return cfg


def _seed_in_place_of_none(folder: Path, *, begins: bool) -> int:
    """Return one seed for all ranks, which call this together.

    It is drawn, unless a run that began before in the folder goes on or is evaluated: then it is that run's seed.
    """
    seed = -1
    if not begins:
        with suppress(UserError):  # no run began there
            seed = load_config(str(folder / CONFIG_FILE), []).SEED
    shared: int = comm.all_gather(seed if seed >= 0 else secrets.randbelow(2**31))[0]
    return shared
