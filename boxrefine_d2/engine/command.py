"""What the training commands do in each process."""

import argparse

from detectron2.utils import comm

from .checkpoint import load_trained
from .jobs import trainer_for
from .results import write_results
from .setup import setup


def train(args: argparse.Namespace) -> None:
    """Trains (or only evaluates) as the configuration says.

    Args: args: of Detectron2's `default_argument_parser`.
    Raises: UserError for anything wrong with the configuration or what it names.
    """
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
        write_results(cfg, job.weights_info(model), datasets, record)
