"""Commands of the pages for readers: read from fenced blocks, and made small enough to run."""

import re
import shlex
from pathlib import Path

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config

BLOCK = re.compile(r"^```(sh|python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TRAINS = {"train", "train-detector", "self-train"}
FLAGS_OF_OTHER_MACHINES = {"--num-gpus", "--num-machines", "--machine-rank", "--dist-url"}

# What makes a training short: two steps on small images. The keys exist in each configuration.
SHORT = {
    "MODEL.DEVICE": "cpu",
    "SOLVER.MAX_ITER": "2",
    "SOLVER.IMS_PER_BATCH": "2",
    "SOLVER.STEPS": "()",
    "SOLVER.WARMUP_ITERS": "1",
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


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language, in order."""
    return [text for name, text in BLOCK.findall(page.read_text("utf-8")) if name == language]


def commands(page: Path) -> list[list[str]]:
    """Return the words of each `boxrefine` command of a page after `boxrefine`, in order.

    Variables and `torchrun` before a command are left out.
    """
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[words.index("boxrefine") + 1 :] for words in found if "boxrefine" in words]


def short(words: list[str]) -> list[str]:
    """Return a command with less work: two steps, few images, one process."""
    words = _without_other_machines(words)
    words = [re.sub(r"scenes:(val|train)(?!\+)", r"scenes:\1+first=4", word) for word in words]
    if words[0] not in TRAINS:
        return words
    config = words[words.index("--config-file") + 1]
    pairs = {key: value for key, value in zip(words, words[1:]) if key.isupper() or "." in key}
    opts = [word for key in pairs if key.split(".")[0].isupper() for word in (key, pairs[key])]
    cfg = load_config(config, opts)
    changes = dict(SHORT)
    for key, specs in (
        ("DATASETS.TRAIN", cfg.DATASETS.TRAIN),
        ("DATASETS.TEST", cfg.DATASETS.TEST),
    ):
        changes[key] = str(tuple(_at_hand(spec, words[0]) for spec in specs))
    return [*words, *(word for pair in changes.items() for word in pair)]


def _without_other_machines(words: list[str]) -> list[str]:
    kept, rest = [], iter(words)
    for word in rest:
        if word in FLAGS_OF_OTHER_MACHINES:
            next(rest)
        else:
            kept.append(word)
    return kept


def _at_hand(spec: str, verb: str) -> str:
    """Return the spec if its images are here, else four scenes; of all scenes four."""
    if re.fullmatch(r"scenes:(val|train)", spec):
        return f"{spec}+first=4"
    try:
        load_spec(spec)
    except UserError:
        return "scenes:train+first=4+agnostic" if verb != "train" else "scenes:train+first=4"
    return spec
