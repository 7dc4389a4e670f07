"""The pass over the data that comes before the first box, for rules that judge a point by the whole data set."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detectron2.utils import comm
from safetensors import SafetensorError
from safetensors.torch import save

from boxrefine_d2.discovery.build import Rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.features.checkpoint_file import read_safetensors
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.inputs import check_regular_file
from boxrefine_d2.structures import FeatureMap


def observes(rule: Rule) -> bool:
    """Whether the rule wants to see the data set first."""
    return getattr(rule, "observes", False)


def observe(rule: Any, maps: Iterable[FeatureMap], output: Path, info: dict[str, Any]) -> None:
    """Shows the rule every map, once: what it learnt is kept beside the output until that is written.

    The main process looks, the others wait, so that the sums are always of one order.

    Args: maps: of the whole data set; not asked for where the statistics are there already.
    """
    path = statistics_file(output)
    if comm.is_main_process() and not _matches(path, info):
        for features in maps:
            rule.observe(features)
        with atomic_binary_file(path) as file:
            file.write(save(rule.state, metadata={"info": json.dumps(info)}))
    comm.synchronize()
    rule.state = read_safetensors(path)[0]


def statistics_file(output: Path) -> Path:
    """Where the statistics of a data set wait for the output."""
    return output.with_name(f"{output.name}.statistics")


def _matches(path: Path, info: dict[str, Any]) -> bool:
    """Whether statistics of these settings are there; a file that cannot be read is made anew."""
    try:
        check_regular_file(path, "statistics")
        state, metadata = read_safetensors(path)
        finite = all(value.isfinite().all() for value in state.values())
        return finite and json.loads(metadata.get("info", "{}")) == info
    except (UserError, SafetensorError, ValueError, OSError):
        return False
