"""The end of a run: the process that finds the journals complete writes the file from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from detectron2.utils import comm

from boxrefine_d2.data.pseudo_label_file import id_order, write_ordered_pseudo_labels
from boxrefine_d2.errors import UserError

from .journal import Journal
from .observing import statistics_file
from .sharing import Share, gate, is_written


@dataclass(frozen=True)
class DiscoverySummary:
    """How a run over a data set ended; `seconds` are those of this run, resumed images not counted in `done_now`.

    Attributes: written: whether the file is there now.  remark: what else there is to say, after the counts.
    """

    done: int
    done_now: int
    failed: int
    seconds: float
    written: bool = True
    remark: str = ""

    def __str__(self) -> str:
        rate = self.done_now / self.seconds if self.seconds else 0.0
        counts = f"{self.done} images done, {self.failed} failed, {rate:.1f} images/s"
        return f"{counts}; {self.remark}" if self.remark else counts


@dataclass(frozen=True)
class Plan:
    """What the file of a run holds besides the entries of its journal.

    Attributes:
        info: what it depends on.
        others: what else `info` says in the file; a journal does not depend on it.
        batches: of how many images each.
        failed: images that no batch holds, as `planning.failure` writes them.
    """

    output: Path
    info: dict[str, Any]
    others: dict[str, Any]
    batches: Sequence[int]
    failed: Sequence[dict[str, str]]


def end(
    plan: Plan, journal: Journal, part: Share, done_now: int, seconds: float
) -> DiscoverySummary:
    """Write the file if all batches are done, and count; called by all ranks together.

    Args:   seconds: since this process started.
    Raises: UserError if no image could be done, or the file cannot be written; the journals stay in that case.
    """
    if not part.shard:
        journal.restore()
    done_by_all = sum(comm.all_gather(done_now))
    if not comm.is_main_process():
        return DiscoverySummary(0, done_now, 0, seconds)
    with gate(plan.output):
        journal.read()
        if len(journal) == len(plan.batches):
            done, failed = _write(plan, journal)
            statistics_file(plan.output).unlink(missing_ok=True)
            return DiscoverySummary(done, done_by_all, failed, seconds)
        if part.shard and is_written(plan.output, plan.info):
            remark = f"another shard wrote {plan.output}"
            return DiscoverySummary(done_now, done_now, 0, seconds, remark=remark)
        journal.restore()
    left = len(plan.batches) - len(journal)
    if part.shard:
        remark = "other shards are not finished"
        return DiscoverySummary(done_now, done_now, 0, seconds, written=False, remark=remark)
    raise UserError(
        f"{left} of {len(plan.batches)} batches are in journals that this process cannot see; put all files "
        f"{plan.output.name}.journal.* into one folder and run the same command without torchrun"
    )


def _write(plan: Plan, journal: Journal) -> tuple[int, int]:
    """The file from the journals, which are then removed; (images, failed images) in it."""
    order = []
    failed = list(plan.failed)
    solves = 0
    for index, entry in journal.entries():
        order += [(id_order(image["id"]), index, i) for i, (image, _) in enumerate(entry["images"])]
        failed += entry["failed"]
        solves += entry["dense_solves"]
    if not order:
        journal.remove()
        asked = sum(plan.batches) + len(plan.failed)
        raise UserError(f"none of the {asked} images could be done; first: {failed[0]['reason']}")
    order.sort()
    entry_of = lru_cache(maxsize=256)(journal.entry)
    failures = {
        "images_failed": sorted(failed, key=lambda failure: failure["file_name"]),
        "dense_solves": solves,
    }
    try:
        write_ordered_pseudo_labels(
            plan.output,
            images=(entry_of(index)["images"][i][0] for _, index, i in order),
            annotations=(line for _, index, i in order for line in entry_of(index)["images"][i][1]),
            info=plan.info | plan.others | failures,
        )
    except UserError as error:
        journal.restore()
        raise UserError(
            f"{error}; what was computed is kept, and the same command writes the file once that is mended"
        ) from error
    journal.remove()
    return len(order), len(failed)
