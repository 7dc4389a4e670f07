"""First pass over a data set, for rules that compare each point with the whole data set."""

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
    """Show every feature map to the rule once, and keep the rule's statistics beside the output.

    The main process reads the maps while the others wait: the sums always have one order. The
    statistics file stays until the output is written.

    Args: maps: maps of the whole data set; not read if a file with the statistics exists.
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
    """Return the path of the statistics file that belongs to an output file."""
    return output.with_name(f"{output.name}.statistics")


def _read(path: Path, info: dict[str, Any]) -> dict[str, Tensor] | None:
    """Return the statistics in a file.

    Returns: None if the file is missing or damaged, or if it has other settings or images.
    """
    try:
        check_regular_file(path, "statistics")
        state, metadata = read_safetensors(path)
        matches = json.loads(metadata.get("info", "{}")) == json.loads(json.dumps(info))
        finite = all(bool(value.isfinite().all()) for value in state.values())
        return state if matches and finite else None
    except (UserError, OSError, SafetensorError, ValueError, RecursionError):
        return None
