"""Frozen configuration of a run from its command line."""

import argparse
import logging
import secrets
import sys
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

# files of an earlier run in the same folder, which a new run deletes
_RUN_FILES = ("metrics.json", "results.json", "last_checkpoint")


def load_config(config_file: str, opts: list[str]) -> CfgNode:
    """Return the configuration: defaults, then the file with its bases, then KEY VALUE pairs.

    Raises: UserError for a file that cannot be read as data, an unknown key, or a value that its
        key cannot have.
    """
    cfg, path = boxrefine_cfg(), find_config(config_file)
    merge_content(cfg, read_config(path), f"configuration file {str(path)!r}")
    merge_pairs(cfg, opts)
    cfg.OUTPUT_DIR = str(user_path(cfg.OUTPUT_DIR))
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def setup(args: argparse.Namespace) -> CfgNode:
    """Return the frozen configuration; open the log and write config.yaml to OUTPUT_DIR.

    A random seed replaces SEED -1. A run that is resumed or evaluated keeps the seed in OUTPUT_DIR.

    Raises: UserError, before any file is written, for a configuration, a device or an OUTPUT_DIR
        that cannot be used.
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
    _keep_details_in_log(cfg.OUTPUT_DIR)
    default_setup(cfg, args)
    # The messages of this package go to the terminal and the log, beside Detectron2's.
    ours = setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="boxrefine_d2")
    ours.setLevel(logging.INFO)
    ours.propagate = True  # handlers of the root logger get them too
    logger.info("device: %s", cfg.MODEL.DEVICE)
    return cfg


def _keep_details_in_log(output_dir: str) -> None:
    """Show only warnings of Detectron2 and errors of fvcore on the terminal; log.txt holds all.

    The environment, all keys and all layers of the network fill a thousand lines. They would hide
    the messages of this package.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says "no CUDA"
    # Detectron2 asks for these two loggers with the same arguments, and gets the same objects.
    rank = comm.get_rank()
    fvcore = setup_logger(output_dir, distributed_rank=rank, name="fvcore")
    detectron2 = setup_logger(output_dir, distributed_rank=rank)
    for theirs, level in ((fvcore, logging.ERROR), (detectron2, logging.WARNING)):
        for handler in theirs.handlers:
            if getattr(handler, "stream", None) is sys.stdout:
                handler.setLevel(level)


def _seed_in_place_of_none(folder: Path, *, begins: bool) -> int:
    """Return one seed for all ranks; all ranks call this together.

    A run that begins gets a random seed. A run that is resumed or evaluated keeps the seed that the
    folder holds.
    """
    seed = -1
    if not begins:
        with suppress(UserError):  # no run has begun there
            seed = load_config(str(folder / CONFIG_FILE), []).SEED
    shared: int = comm.all_gather(seed if seed >= 0 else secrets.randbelow(2**31))[0]
    return shared
