"""Record of an improvement in its output directory, so that no other one replaces its results."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files import inputs
from boxrefine_d2.files.values import is_whole
from boxrefine_d2.networks.weights import file_sha256

from .stages import Improvement

RECORD = "improve.json"
_LATER = ("detector", "detector_iters", "shown")  # options of the stages after the verdict


def settle(
    folder: Path, plan: Improvement, records: Sequence[Record], *, at_work: bool = False
) -> None:
    """Write the record of an improvement, or compare it with the record that is there.

    The same improvement continues in its folder. It may have more rounds, or another detector. The
    record of one whose first stage failed gives way, because there is no result to keep.

    Args:   at_work: True if a process works in the folder; the record then stays.
    Raises: UserError if the folder holds another improvement.
    """
    wanted = record_of(plan, records)
    path = folder / RECORD
    if path.exists():
        earlier = inputs.read_json(path, "record of an improvement")
        if not isinstance(earlier, dict):
            raise UserError(f"{path} is no record of an improvement; name another --output")
        if at_work or _has_results(folder):
            _compare(earlier, wanted, path)
    write_json(path, wanted)


def _has_results(folder: Path) -> bool:
    """Return True if a stage's folder holds a file; names with a leading dot are no stages."""
    return any(not found.parent.name.startswith(".") for found in folder.glob("*/*"))


def record_of(plan: Improvement, records: Sequence[Record]) -> dict[str, Any]:
    """Return everything on which the verdict depends, as JSON values."""
    named = [
        [r["image_id"], r["relative_name"], r["height"], r["width"], _bytes_of(r)] for r in records
    ]
    weights = plan.network.weights
    options = {key: value for key, value in plan.settings.options.items() if key not in _LATER}
    return {
        "data": plan.data,
        "images": len(records),
        "images_sha256": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        "backbone": plan.network.backbone,
        "weights": weights,
        "weights_sha256": file_sha256(Path(weights)) if plan.network.inputs else "",
        "method": plan.method,
        "max_side": plan.max_side,
        "device": plan.device,
        "set": options,
        "set_rule": list(plan.settings.rule),
        "set_refine": list(plan.settings.refine),
        "rounds": plan.rounds,
    }


def _bytes_of(record: Record) -> int:
    """Return the size of an image's file in bytes; 0 if it is rendered or cannot be read.

    A changed image rarely keeps it, and reading it costs less than a digest of every file.
    """
    path = Path(record["file_name"])
    return path.stat().st_size if path.is_file() else 0


def _compare(earlier: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    for key, value in wanted.items():
        was = earlier.get(key)
        more_rounds = key == "rounds" and is_whole(was) and was <= value
        if was != value and key == "images_sha256":
            raise UserError(
                f"{path.parent} holds an improvement on other images: names or sizes of the images "
                f"of {wanted['data']!r} have changed since; name another --output, which keeps "
                "those results"
            )
        if was != value and not more_rounds:
            one, other = _difference(was, value)
            raise UserError(
                f"{path.parent} holds an improvement with other settings: {key} was {one} and is "
                f"now {other}; name another --output, which keeps those results, or give the same "
                "settings"
            )


def _difference(earlier: Any, wanted: Any) -> tuple[str, str]:
    """Return both values in words; of two dictionaries, the first entry that differs."""
    if isinstance(earlier, dict) and isinstance(wanted, dict):
        for key in wanted:
            if earlier.get(key) != wanted[key]:
                return f"{key}={earlier.get(key)!r}", f"{key}={wanted[key]!r}"
    return repr(earlier), repr(wanted)
