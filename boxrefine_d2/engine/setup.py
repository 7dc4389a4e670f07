"""From a command line to a frozen configuration."""

import argparse
import logging
from pathlib import Path

import torch
import yaml
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.shipped_configs import find_config

logger = logging.getLogger(__name__)

# files of an earlier run that a new one in the same folder must not continue
_RUN_FILES = ("metrics.json", "results.json", "last_checkpoint")


def load_config(config_file: str, opts: list[str]) -> CfgNode:
    """Defaults, then the file with its bases, then KEY VALUE pairs.

    Raises: UserError for an unknown key, a value of another type, or a file that is no yaml.
    """
    cfg = boxrefine_cfg()
    try:
        cfg.merge_from_file(str(find_config(config_file)))
        cfg.merge_from_list(opts)
    except (KeyError, ValueError, AssertionError, yaml.YAMLError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"configuration {config_file} {' '.join(opts)}: {error}") from error
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def setup(args: argparse.Namespace) -> CfgNode:
    """The frozen configuration; opens the log and writes config.yaml to OUTPUT_DIR."""
    cfg = load_config(args.config_file, args.opts)
    cfg.freeze()
    args.config_file = str(find_config(args.config_file))
    if comm.is_main_process() and not (args.resume or args.eval_only):
        for name in _RUN_FILES:
            (Path(cfg.OUTPUT_DIR) / name).unlink(missing_ok=True)
    default_setup(cfg, args)
    # what this package says is shown and kept beside what Detectron2 says
    ours = setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="boxrefine_d2")
    ours.setLevel(logging.INFO)
    ours.propagate = True  # to whoever listens at the root, too
    logger.info("device: %s", cfg.MODEL.DEVICE)
    return cfg
