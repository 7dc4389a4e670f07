"""Trains what a configuration names: box-based refinement of a map network, or its self-supervised pre-training."""

import argparse
import sys
from collections.abc import Sequence

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.engine import load_trained, run_distributed, setup, trainer_for, write_results
from boxrefine_d2.errors import CommandParser, run_command


def train(args: argparse.Namespace) -> None:
    """Trains (or only evaluates) as the configuration says, in each process."""
    cfg = setup(args)
    job = trainer_for(cfg)
    job.check(cfg)
    if args.eval_only:
        model = job.build_model(cfg)
        load_trained(model, cfg)
        datasets, record = job.evaluate(cfg, model), {}
    else:
        trainer = job(cfg)
        trainer.resume_or_load(resume=args.resume)
        datasets, record, model = trainer.train(), trainer.record(), trainer.network
    if comm.is_main_process():
        write_results(cfg, model.map_network.weights_info, datasets, record)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    parser = CommandParser(
        prog="train_net.py",
        description=__doc__,
        parents=[default_argument_parser()],  # Detectron2's flags
        conflict_handler="resolve",
    )
    return run_command(lambda: run_distributed(train, parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
