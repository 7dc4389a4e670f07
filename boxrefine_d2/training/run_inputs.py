"""Protection of the input files of a run from the files that it writes to OUTPUT_DIR."""

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from detectron2.config import CfgNode, get_cfg

from boxrefine_d2.config.checks import leaves
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.outputs import is_same_file
from boxrefine_d2.files.safe_yaml import read_yaml

from .jobs import trainer_for

CONFIG_FILE = "config.yaml"
_INFERENCE = "inference"  # folder of an evaluation's results per image
# Files that an evaluation and a training write to OUTPUT_DIR. A training also writes its product.
_EVALUATION = ("results.json", "grounding.json", "log.txt", "log.txt.rank*")
_TRAINING = ("metrics.json", "last_checkpoint", "model_*.pth")


def check_inputs_stay(cfg: CfgNode, config_file: str, *, trains: bool) -> None:
    """Refuse an OUTPUT_DIR in which the run would write over one of its inputs.

    A config.yaml that an earlier run wrote is allowed: the run writes the same content again.

    Args: trains: True if a training begins there. A resumed training continues from its own files.
    Raises: UserError that names the file.
    """
    folder = _place(cfg.OUTPUT_DIR)
    if is_same_file(config_file, folder / CONFIG_FILE) and not _is_whole(config_file):
        raise UserError(
            f"OUTPUT_DIR {cfg.OUTPUT_DIR!r}: the run would write its whole configuration over "
            f"{config_file!r}; name another folder"
        )
    for key, path in _inputs(cfg):
        place = _place(path)
        if not os.path.exists(place) or not place.is_relative_to(folder):
            continue
        if _is_written(place.relative_to(folder), cfg, trains=trains):
            raise UserError(
                f"OUTPUT_DIR {cfg.OUTPUT_DIR!r}: the run would write over {str(path)!r}, "
                f"which {key} reads; name another folder"
            )


def _is_written(path: Path, cfg: CfgNode, *, trains: bool) -> bool:
    """Return True if a run writes a path relative to OUTPUT_DIR, or removes the folder of it."""
    top, *below = path.parts or ("",)
    if top == _INFERENCE or (trains and top == trainer_for(cfg).product_file(cfg)):
        return True
    names = (*_EVALUATION, *_TRAINING) if trains else _EVALUATION
    return not below and any(fnmatch(top, name) for name in names)


def _place(path: str | Path) -> Path:
    """Return the real path; unlike Path.resolve, this also works for links that form a circle."""
    return Path(os.path.realpath(path))


def _is_whole(config_file: str) -> bool:
    """Return True if a configuration states every section of Detectron2; only a run writes that."""
    content = read_yaml(config_file, "configuration file")
    return isinstance(content, dict) and content.keys() >= get_cfg().keys()


def _inputs(cfg: CfgNode) -> Iterator[tuple[str, Path]]:
    """Yield keys, and the weights and annotation files that they name; runs never write images."""
    for key, value in leaves(cfg):
        if key.endswith((".WEIGHTS", ".ENCODER")) and value and "://" not in value:
            yield key, Path(value)
    for key in ("TRAIN", "TEST"):
        for text in cfg.DATASETS[key]:
            with suppress(UserError):  # the loader of the data set reports it
                files = filter(os.path.isfile, files_of_spec(text))
                yield from ((f"DATASETS.{key}", Path(file)) for file in files)
