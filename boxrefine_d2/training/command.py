"""Training commands, and their work in each process."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.networks.weights import WeightsInfo

from .jobs import trainer_for
from .launch import run_distributed
from .only_run import only_run_in
from .results_file import write_results
from .setup import load_config, setup

logger = logging.getLogger(__name__)
KEPT = "checkpoints are kept in OUTPUT_DIR; the same command with --resume continues from the last"


def training_parser(description: str | None = None, examples: Sequence[str] = ()) -> CommandParser:
    """Return a parser with Detectron2's flags."""
    return CommandParser(
        description=description,
        examples=examples,
        parents=[default_argument_parser()],
        conflict_handler="resolve",
    )


def training_command(parser: CommandParser, argv: Sequence[str] | None) -> int:
    """Run a training command; return its exit code, 0, or 2 for a user's mistake."""
    return run_command(lambda: run_distributed(train, parser.parse_args(argv)), KEPT)


def check_command(words: Sequence[str]) -> None:
    """Refuse the words of a training command that the command would refuse at its start.

    Its input files are not checked, because an earlier stage may still write them.

    Raises: UserError for such words.
    """
    args = training_parser().parse_args(words)
    check_device(load_config(args.config_file, args.opts).MODEL.DEVICE)


def train(args: argparse.Namespace) -> None:
    """Train, or only evaluate, as the configuration says.

    Args: args: arguments of Detectron2's `default_argument_parser`.
    Raises: UserError for a fault of the configuration or of a file that it names, and if another
        run is at work in its OUTPUT_DIR.
    """
    with only_run_in(Path(load_config(args.config_file, args.opts).OUTPUT_DIR)):
        _train(setup(args), args)


def _train(cfg: CfgNode, args: argparse.Namespace) -> None:
    job = trainer_for(cfg)
    if not (job.learns or args.eval_only):
        raise UserError(f"{cfg.MODEL.META_ARCHITECTURE} does not learn: add --eval-only")
    job.check(cfg, eval_only=args.eval_only)
    if args.eval_only:
        model = job.build_model(cfg)
        job.load_trained(model, cfg)
        _write(cfg, job.weights_info(model), job.evaluate(cfg, model), {})
        return
    trainer = job(cfg)
    trainer.resume_or_load(resume=args.resume)
    datasets, weights = trainer.train(), job.weights_info(trainer.network)
    try:
        record = trainer.record()
    except Exception:
        # The results of the evaluation are written even if the record fails.
        _write(cfg, weights, datasets, {})
        raise
    _write(cfg, weights, datasets, record)


def _write(
    cfg: CfgNode, weights: WeightsInfo, datasets: dict[str, Any], record: dict[str, Any]
) -> None:
    if not comm.is_main_process():
        return
    try:
        logger.info("results: %s", write_results(cfg, weights, datasets, record))
    except UserError as error:
        raise UserError(
            f"{error}; the trained model is kept, and the same command with --eval-only writes the "
            "results"
        ) from error
