"""The main job: box-based refinement of a map network, with CorLoc before and after."""

import argparse
import sys
from collections.abc import Sequence

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.engine import RefineTrainer, run_distributed, setup, write_results
from boxrefine_d2.errors import CommandParser, run_command


def train(args: argparse.Namespace) -> None:
    """Trains (or only evaluates) as the configuration says, in each process."""
    cfg = setup(args)
    RefineTrainer.check(cfg)
    trainer = RefineTrainer(cfg)
    trainer.resume_or_load(resume=args.resume or args.eval_only)
    datasets = trainer.evaluate() if args.eval_only else trainer.train()
    record = {} if args.eval_only else trainer.record()
    if comm.is_main_process():
        write_results(cfg, trainer.refiner.map_network.weights_info, datasets, record)


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
