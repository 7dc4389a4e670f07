"""Record of an improvement in its output directory, so that no other one replaces its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boxrefine_d2.data.digest import images_sha256
from boxrefine_d2.data.records import Record
from boxrefine_d2.networks.weights import file_sha256
from boxrefine_d2.workflow import settle_record

from .stages import Improvement

RECORD = "improve.json"
_LATER = ("detector", "detector_iters", "shown")  # options of the stages after the verdict


def settle(
    folder: Path, plan: Improvement, records: Sequence[Record], *, at_work: bool = False
) -> None:
    """Write the record of an improvement, or compare it with the record that is there.

    The same improvement continues in its folder. It may have more rounds, or another detector.

    Args:   at_work: True if a process works in the folder; the record then stays.
    Raises: UserError if the folder holds another improvement.
    """
    wanted = record_of(plan, records)
    record = folder / RECORD
    settle_record(record, wanted, "an improvement", at_work=at_work, may_grow=("rounds",))


def record_of(plan: Improvement, records: Sequence[Record]) -> dict[str, Any]:
    """Return everything on which the verdict depends, as JSON values."""
    weights = plan.network.weights
    options = {key: value for key, value in plan.settings.options.items() if key not in _LATER}
    return {
        "data": plan.data,
        "images": len(records),
        "images_sha256": images_sha256(records),
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
