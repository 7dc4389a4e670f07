"""The training commands, and what they do in each process."""

import argparse
from collections.abc import Sequence

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.features.device import check_device

from .jobs import trainer_for
from .launch import run_distributed
from .results import write_results
from .setup import load_config, setup


def training_command(name: str, description: str | None, argv: Sequence[str] | None) -> int:
    """A command with Detectron2's flags; 0, or 2 for a user's mistake."""
    parser = _parser(name, description)
    return run_command(lambda: run_distributed(train, parser.parse_args(argv)))


def check_command(name: str, words: Sequence[str]) -> None:
    """Refuse the words of a training command that it would refuse at its start.

    Files that it reads may come to exist later, and are not looked at. Raises: UserError.
    """
    args = _parser(name, None).parse_args(words)
    check_device(load_config(args.config_file, args.opts).MODEL.DEVICE)


def _parser(name: str, description: str | None) -> CommandParser:
    return CommandParser(
        prog=name,
        description=description,
        parents=[default_argument_parser()],
        conflict_handler="resolve",
    )


def train(args: argparse.Namespace) -> None:
    """Trains (or only evaluates) as the configuration says.

    Args: args: of Detectron2's `default_argument_parser`.
    Raises: UserError for anything wrong with the configuration or what it names.
    """
    cfg = setup(args)
    job = trainer_for(cfg)
    if not (job.learns or args.eval_only):
        raise UserError(f"{cfg.MODEL.META_ARCHITECTURE} does not learn: add --eval-only")
    job.check(cfg)
    if args.eval_only:
        model = job.build_model(cfg)
        job.load_trained(model, cfg)
        datasets, record = job.evaluate(cfg, model), {}
    else:
        trainer = job(cfg)
        trainer.resume_or_load(resume=args.resume)
        datasets, record, model = trainer.train(), trainer.record(), trainer.network
    if comm.is_main_process():
        write_results(cfg, job.weights_info(model), datasets, record)
