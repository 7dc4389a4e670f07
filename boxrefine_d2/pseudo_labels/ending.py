"""The end of a run: the process that finds the journals complete writes the output file."""

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
    """The result of a run over a data set.

    Attributes:
        done: number of images in the output.  done_now: number of images that this run computed,
            without those of a journal.
        failed: number of images that could not be read.  seconds: wall-clock time of this run.
        written: True if the output file exists now.  remark: a sentence to print after the counts.
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
    """The content of a run's output file besides the entries of its journal.

    Attributes:
        info: everything that the content depends on.
        others: further entries of the file's `info`, on which a journal does not depend.
        batches: number of images of each batch.
        failed: images that are in no batch, as `planning.failure` describes them.
    """

    output: Path
    info: dict[str, Any]
    others: dict[str, Any]
    batches: Sequence[int]
    failed: Sequence[dict[str, str]]


def end(
    plan: Plan, journal: Journal, part: Share, done_now: int, seconds: float
) -> DiscoverySummary:
    """Write the file if all batches are done, and return the counts. All ranks call it together.

    Args:   seconds: wall-clock time since this process started the run.
    Raises: UserError if no image could be done, or if the file cannot be written. The journals stay
        in the second case.
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
        f"{left} of {len(plan.batches)} batches are in journals that this process cannot see; put "
        f"all files {plan.output.name}.journal.* into one folder and run the same command without "
        "torchrun"
    )


def _write(plan: Plan, journal: Journal) -> tuple[int, int]:
    """Write the file from the journals and remove them. Return its (images, failed images)."""
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
            f"{error}; the computed results are kept: correct this, then run the same command "
            "again to write the file"
        ) from error
    journal.remove()
    return len(order), len(failed)
