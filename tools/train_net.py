"""The main job: box-based refinement of a map network, with CorLoc before and after."""

import argparse
import sys
from collections.abc import Sequence

from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from boxrefine_d2.engine import RefineTrainer, load_trained, run_distributed, setup, write_results
from boxrefine_d2.errors import CommandParser, run_command


def train(args: argparse.Namespace) -> None:
    """Trains (or only evaluates) as the configuration says, in each process."""
    cfg = setup(args)
    RefineTrainer.check(cfg)
    if args.eval_only:
        model = RefineTrainer.build_model(cfg)
        load_trained(model, cfg)
        datasets, record = RefineTrainer.evaluate(cfg, model), {}
    else:
        trainer = RefineTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        datasets, record, model = trainer.train(), trainer.record(), trainer.refiner
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
