"""Commands of the pages for readers, made small enough to run."""

import re
from importlib import import_module

from boxrefine_d2.cli import VERBS
from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config

TRAINS = {"train", "train-detector", "self-train"}
FLAGS_OF_OTHER_MACHINES = {"--num-gpus", "--num-machines", "--machine-rank", "--dist-url"}

# What makes a training short: two steps on small images. The keys exist in each configuration.
SHORT = {
    "MODEL.DEVICE": "cpu",
    "SOLVER.MAX_ITER": "2",
    "SOLVER.IMS_PER_BATCH": "2",
    "SOLVER.STEPS": "()",
    "SOLVER.WARMUP_ITERS": "1",
    "SOLVER.MAP_NETWORK_DECAY.POWER": "0.0",
    "SOLVER.CHECKPOINT_PERIOD": "1000",
    "SOLVER.AMP.ENABLED": "False",
    "TEST.EVAL_PERIOD": "0",
    "TEST.PRECISE_BN.ENABLED": "False",
    "DATALOADER.NUM_WORKERS": "0",
    "INPUT.MIN_SIZE_TRAIN": "(64,)",
    "INPUT.MAX_SIZE_TRAIN": "96",
    "INPUT.MIN_SIZE_TEST": "64",
    "INPUT.MAX_SIZE_TEST": "96",
    "REFINE.WARMUP_ITERS": "1",
    "REFINE.REFINE_ITERS": "1",
    "REFINE.RECORD_IMAGES": "2",
    "REFINE.DRIFT.IMAGES": "2",
    "PRETRAIN.DINO.OUT_DIM": "64",
    "PRETRAIN.DINO.TEMPERATURE_ITERS": "1",
    "PRETRAIN.DINO.LOCAL_CROPS": "2",
    "PRETRAIN.FOUND.SEED_STEPS": "1",
    "PRETRAIN.MOVE.BINARISE_STEPS": "1",
}

# The same for an improvement, whose stages are trainings.
SHORT_IMPROVEMENT = (
    *("refine_iters=2", "detector_iters=2", "batch_size=2", "num_workers=0"),
    *("REFINE.WARMUP_ITERS=1", "REFINE.RECORD_IMAGES=2", "INPUT.SQUARE_SIZE=64"),
)


def short(verb: str, words: list[str]) -> list[str]:
    """Return the words of a command with less work: two steps, few images, one process."""
    words = [_few_scenes(word) for word in _without_other_machines(words)]
    if verb == "improve":
        return [*words, "--set", *SHORT_IMPROVEMENT]
    if verb not in TRAINS:
        return words
    args = import_module(f"boxrefine_d2.cli.{VERBS[verb][0]}").parser().parse_args(words)
    cfg = load_config(args.config_file, args.opts)
    data = {
        f"DATASETS.{split}": str(tuple(_at_hand(spec, verb) for spec in cfg.DATASETS[split]))
        for split in ("TRAIN", "TEST")
    }
    return [*words, *(word for pair in {**SHORT, **data}.items() for word in pair)]


def _few_scenes(text: str) -> str:
    """Replace all scenes of a split by four of them."""
    return re.sub(r"scenes:(val|train)(?!\+)", r"scenes:\1+first=4", text)


def _without_other_machines(words: list[str]) -> list[str]:
    kept, rest = [], iter(words)
    for word in rest:
        if word in FLAGS_OF_OTHER_MACHINES:
            next(rest)
        else:
            kept.append(word)
    return kept


def _at_hand(spec: str, verb: str) -> str:
    """Return a spec with few scenes, or four scenes if its images are not here."""
    spec = _few_scenes(spec)
    try:
        load_spec(spec)
    except UserError:
        return "scenes:train+first=4+agnostic" if verb != "train" else "scenes:train+first=4"
    return spec
