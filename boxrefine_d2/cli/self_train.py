"""Train a detector in rounds on its own predictions: CutLER's self-training.

FILE is a configuration of train_cad.py. Round 1 starts from its MODEL.WEIGHTS, a trained detector,
and from the labels in its DATASETS.TRAIN, SPEC+pseudo=FILE. Each round predicts on SPEC, merges the
predictions into the labels, and trains. Completed stages are skipped.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.cli.help_texts import CONFIG_CHANGES, CONFIG_FILE, GPUS
from boxrefine_d2.cli.stages_command import run_stages_command
from boxrefine_d2.data import parse_spec
from boxrefine_d2.data.dataset_spec import Modifier
from boxrefine_d2.errors import CommandParser, UserError
from boxrefine_d2.evaluation.detections_file import DETECTIONS_FILE
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.training.checkpoint import SafeCheckpointer
from boxrefine_d2.training.results_file import inference_folder
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import SelfTraining, plan_of_stages, run_plan

EXAMPLES = (
    "boxrefine self-train --config-file configs/demo/self_train.yaml --rounds 3",
    "boxrefine self-train --config-file configs/cutler_self_train.yaml --rounds 1 --num-gpus 8",
)

CONFIG_FILE_HELP = CONFIG_FILE.format("configs/demo/self_train.yaml")
ROUNDS_HELP = "number of rounds; each predicts, merges and trains once"
OPTS_HELP = CONFIG_CHANGES.format("OUTPUT_DIR output/again")


def main(argv: Sequence[str] | None = None, tools: Path | None = None) -> int:
    """Run the command; see `run_stages_command`."""
    return run_stages_command(parser, _run, argv, tools)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--config-file", required=True, metavar="FILE", help=CONFIG_FILE_HELP)
    parser.add_argument("--rounds", type=int, required=True, metavar="N", help=ROUNDS_HELP)
    parser.add_argument("--num-gpus", type=int, default=1, metavar="N", help=GPUS)
    parser.add_argument("opts", nargs="*", default=[], metavar="KEY VALUE", help=OPTS_HELP)
    return parser


def _run(args: argparse.Namespace, tools: Path) -> int:
    if args.rounds < 1:
        raise UserError(f"--rounds is {args.rounds}; give 1 or more")
    cfg = load_config(args.config_file, args.opts)
    check_device(cfg.MODEL.DEVICE)
    if not cfg.MODEL.WEIGHTS:
        raise UserError("MODEL.WEIGHTS is empty: self-training starts from a trained detector")
    images, labels = _images_and_labels(tuple(cfg.DATASETS.TRAIN))
    training = SelfTraining(
        config_file=args.config_file,
        opts=tuple(args.opts),
        flags=("--num-gpus", str(args.num_gpus)) if args.num_gpus != 1 else (),
        images=images,
        labels=labels,
        weights=str(SafeCheckpointer.local(cfg.MODEL.WEIGHTS)),
        min_scores=tuple(cfg.SELF_TRAINING.MIN_SCORES),
        max_iou=cfg.SELF_TRAINING.MAX_IOU,
        detections=cfg.SELF_TRAINING.DETECTIONS,
    )
    folder = Path(cfg.OUTPUT_DIR)
    entries = training.stages(
        args.rounds, lambda here: inference_folder(here, images) / DETECTIONS_FILE, folder
    )
    stages = plan_of_stages(entries, folder, {}, args.config_file)
    return run_plan(stages, tools, partial(print, flush=True))


def _images_and_labels(train: tuple[str, ...]) -> tuple[str, str]:
    """Return the dataset spec without its pseudo-labels, and the path of the pseudo-label file."""
    spec = parse_spec(train[0]) if len(train) == 1 else None
    last = spec.modifiers[-1] if spec and spec.modifiers else Modifier("agnostic")
    if spec is None or last.name != "pseudo":
        raise UserError(
            f"DATASETS.TRAIN {train}: self-training needs one data set that ends in +pseudo=FILE, "
            "which is merged with predictions"
        )
    images = type(spec)(spec.kind, spec.arguments, spec.modifiers[:-1])
    if not Path(str(last.value)).is_file():
        raise UserError(f"DATASETS.TRAIN {train[0]!r}: no pseudo-label file at {last.value}")
    return str(images), str(last.value)
