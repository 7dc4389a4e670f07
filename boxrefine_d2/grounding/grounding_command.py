"""What the commands that look at one picture with g share: their configuration, and the input that they make of a picture."""

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
    """A configuration with the changes of --set, KEY=VALUE. Raises: UserError, also for a device that cannot be used."""
    check_device(device)
    changes = [word for pair in key_values("--set", pairs).items() for word in pair]
    return load_config(config_file, [*changes, "MODEL.DEVICE", device])


def named_files(cfg: CfgNode) -> list[str]:
    """Return the files that a configuration names under any of its keys: weights, lists of phrases."""
    values = [named_files(x) if isinstance(x, CfgNode) else [x] for x in cfg.values()]
    return [x for found in values for x in found if isinstance(x, str) and os.path.isfile(x)]


def squeezed_sample(cfg: CfgNode, image: str) -> dict[str, Any]:
    """One picture as `HeatmapModel` reads it. Raises: UserError for a file that is no picture."""
    record = {"file_name": image, "image_id": image}
    return QueryMapper(cfg.INPUT.SQUARE_SIZE, cfg.GROUNDING.PROMPT)(record)
