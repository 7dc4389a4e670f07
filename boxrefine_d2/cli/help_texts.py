"""Help texts of flags that several verbs share: one wording for one meaning."""

import argparse

IMAGE = "image file"
DATA = "dataset spec of the images, e.g. folder:DIR"
LABELLED_DATA = "dataset spec of a labelled data set, e.g. voc_2007_val"

INPUT_LABELS = "pseudo-label file to read"
OUTPUT_LABELS = "pseudo-label file to write, in COCO format"
OUTPUT_FIGURE = "figure to write"
OUTPUT_FOLDER = "output directory"
OUTPUT_PAGE = "HTML page to write"
OUTPUT_WEIGHTS = "weights file to write"

MIN_BOX_SCORE = "lowest score of a box that is kept; default: no limit"
MIN_LABEL_SCORE = "lowest score of a label that is kept; default: no limit"
MAX_BOXES = "most boxes per image, those of the highest scores; default: no limit"

CONFIG_FILE = "path of a configuration file, or name of one that ships, such as {}"
CONFIG_CHANGES = "changes to the configuration, such as {}; default: none"
GPUS = "number of GPUs on each machine; default: 1"

_TRAINING = {
    "config_file": CONFIG_FILE.format("configs/lost_refine.yaml"),
    "resume": "continue from the last checkpoint in OUTPUT_DIR; default: start again",
    "eval_only": "evaluate a trained model; do not train",
    "num_gpus": GPUS,
    "num_machines": "number of machines; default: 1",
    "machine_rank": "number of this machine, from 0; default: 0",
    "dist_url": "address at which the processes find each other; default: a fixed port of this "
    "machine",
    "opts": CONFIG_CHANGES.format("SOLVER.MAX_ITER 1500"),
}


def json_output(content: str) -> str:
    """Return the help text of --json. Args: content: noun for the content, as "the scores"."""
    return f"also write {content} to this JSON file; default: no file"


def explain_training_flags(parser: argparse.ArgumentParser) -> None:
    """Replace the help texts that Detectron2 gives the flags of a training command."""
    for action in parser._actions:
        action.help = _TRAINING.get(action.dest, action.help)
