"""Files that a run reads, against those that it writes to OUTPUT_DIR: no run overwrites what it was given."""

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
_FOUND = "inference"  # the folder of what an evaluation finds
# names of files in OUTPUT_DIR, of an evaluation and of a training; a training also writes its product
_EVALUATION = ("results.json", "grounding.json", "log.txt", "log.txt.rank*")
_TRAINING = ("metrics.json", "last_checkpoint", "model_*.pth")


def check_inputs_stay(cfg: CfgNode, config_file: str, *, trains: bool) -> None:
    """Refuse an OUTPUT_DIR in which the run would write over one of its inputs.

    A config.yaml that an earlier run wrote is no such input: the run writes the same again.

    Args:   trains: whether a training begins there; one that is resumed goes on from files of its own.
    Raises: UserError, naming the file.
    """
    folder = _place(cfg.OUTPUT_DIR)
    if is_same_file(config_file, folder / CONFIG_FILE) and not _is_whole(config_file):
        raise UserError(
            f"OUTPUT_DIR {cfg.OUTPUT_DIR!r}: the run would write its whole configuration over {config_file!r}; name "
            "another folder"
        )
    for key, path in _inputs(cfg):
        place = _place(path)
        if not os.path.exists(place) or not place.is_relative_to(folder):
            continue
        if _is_written(place.relative_to(folder), cfg, trains=trains):
            raise UserError(
                f"OUTPUT_DIR {cfg.OUTPUT_DIR!r}: the run would write over {str(path)!r}, which {key} reads; name another "
                "folder"
            )


def _is_written(path: Path, cfg: CfgNode, *, trains: bool) -> bool:
    """Whether a run writes a path relative to OUTPUT_DIR, or removes the folder that holds it."""
    top, *below = path.parts or ("",)
    if top == _FOUND or (trains and top == trainer_for(cfg).product_file(cfg)):
        return True
    names = (*_EVALUATION, *_TRAINING) if trains else _EVALUATION
    return not below and any(fnmatch(top, name) for name in names)


def _place(path: str | Path) -> Path:
    """Where a path leads; unlike Path.resolve, of links that lead in a circle too."""
    return Path(os.path.realpath(path))


def _is_whole(config_file: str) -> bool:
    """Whether a configuration states every section that Detectron2 has, as only a run writes it."""
    content = read_yaml(config_file, "configuration file")
    return isinstance(content, dict) and content.keys() >= get_cfg().keys()


def _inputs(cfg: CfgNode) -> Iterator[tuple[str, Path]]:
    """Keys, and the weights and annotations that they name; images are never written."""
    for key, value in leaves(cfg):
        if key.endswith((".WEIGHTS", ".ENCODER")) and value and "://" not in value:
            yield key, Path(value)
    for key in ("TRAIN", "TEST"):
        for text in cfg.DATASETS[key]:
            with suppress(UserError):  # it is said where the data set is loaded
                files = filter(os.path.isfile, files_of_spec(text))
                yield from ((f"DATASETS.{key}", Path(file)) for file in files)
