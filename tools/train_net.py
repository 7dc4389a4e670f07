"""The main job: box-based refinement of a map network, with CorLoc before and after."""

import argparse
import sys

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.engine import RefineTrainer, run_distributed, setup, write_results
from boxrefine_d2.errors import run_command


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


def main() -> int:
    """The command; 0, or 2 for a user's mistake."""
    args = default_argument_parser(__doc__).parse_args()
    return run_command(lambda: run_distributed(train, args))


if __name__ == "__main__":
    sys.exit(main())
