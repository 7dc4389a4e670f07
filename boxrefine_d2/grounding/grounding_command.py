"""Common parts of the commands that show g one image: their configuration and g's input."""

import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.data.mappers.phrase import QueryMapper
from boxrefine_d2.errors import key_values
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.training.setup import load_config

SMALL = "configs/demo/what_is_where.yaml"  # the networks that ship


def changed_config(config_file: str, pairs: Sequence[str], device: str) -> CfgNode:
    """Return a configuration with the changes of --set, KEY=VALUE.

    Raises: UserError for a bad change, or for a device that cannot be used.
    """
    check_device(device)
    changes = [word for pair in key_values("--set", pairs).items() for word in pair]
    return load_config(config_file, [*changes, "MODEL.DEVICE", device])


def named_files(cfg: CfgNode) -> list[str]:
    """Return the files that any key of a configuration names: weights and lists of phrases."""
    values = [named_files(x) if isinstance(x, CfgNode) else [x] for x in cfg.values()]
    return [x for names in values for x in names if isinstance(x, str) and os.path.isfile(x)]


def squeezed_sample(cfg: CfgNode, image: str) -> dict[str, Any]:
    """Return an image as input of `HeatmapModel`.

    Raises: UserError for a file that is no image.
    """
    record = {"file_name": image, "image_id": image}
    return QueryMapper(cfg.INPUT.SQUARE_SIZE, cfg.GROUNDING.PROMPT)(record)
