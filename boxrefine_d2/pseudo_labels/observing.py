"""The pass over the data that comes before the first box, for rules that judge a point by the whole data set."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detectron2.utils import comm
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from boxrefine_d2.discovery.rule import ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.inputs import check_regular_file
from boxrefine_d2.networks.checkpoint_file import read_safetensors
from boxrefine_d2.structures import FeatureMap


def observe(
    rule: ObservingRule, maps: Iterable[FeatureMap], output: Path, info: dict[str, Any]
) -> None:
    """Shows the rule every map, once: what it learnt is kept beside the output until that is written.

    The main process looks, the others wait, so that the sums are always of one order.

    Args: maps: of the whole data set; not asked for where the statistics are there already.
    """
    path = statistics_file(output)
    if comm.is_main_process():
        state = _read(path, info)
        if state is None:
            for features in maps:
                rule.observe(features)
            with atomic_binary_file(path) as file:
                file.write(save(rule.state, metadata={"info": json.dumps(info)}))
        else:
            rule.state = state
    comm.synchronize()
    if not comm.is_main_process():
        state = _read(path, info)
        if state is None:
            raise UserError(f"cannot read {str(path)!r}, which the first process wrote")
        rule.state = state


def statistics_file(output: Path) -> Path:
    """Where the statistics of a data set wait for the output."""
    return output.with_name(f"{output.name}.statistics")


def _read(path: Path, info: dict[str, Any]) -> dict[str, Tensor] | None:
    """What a file of statistics holds; None if it is not there, of other settings or images, or damaged."""
    try:
        check_regular_file(path, "statistics")
        state, metadata = read_safetensors(path)
        of_these = json.loads(metadata.get("info", "{}")) == json.loads(json.dumps(info))
        finite = all(bool(value.isfinite().all()) for value in state.values())
        return state if of_these and finite else None
    except (UserError, OSError, SafetensorError, ValueError, RecursionError):
        return None
