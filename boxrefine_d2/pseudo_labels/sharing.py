"""Who works on one output: a whole run alone, or shards of it side by side, and each hears of the others.

A process that works holds its journal locked. Who starts, and who may write the file, is decided behind FILE.lock,
one process after the other.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.utils import comm

from boxrefine_d2.data.pseudo_label_file import read_info
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import remove_leftovers
from boxrefine_d2.files.locks import alone

from .journal import Journal, parts_at_work, remove_abandoned


@dataclass(frozen=True)
class Share:
    """The batches first, first + step, ... of one process.

    Attributes: name: in journals' names, "0" of a rank, "2of3" of a shard.  shard: whether other parts are computed by
        processes that this one does not talk to.
    """

    first: int
    step: int
    name: str
    shard: bool

    @classmethod
    def of(cls, shard: tuple[int, int] | None) -> "Share":
        """Return the part of a shard (number from 1, of how many), or of this process's rank."""
        if shard is None:
            rank = comm.get_rank()
            return cls(rank, comm.get_world_size(), str(rank), shard=False)
        number, of = shard
        return cls(number - 1, of, f"{number}of{of}", shard=True)


def claim(output: Path, info: dict[str, Any], part: Share) -> Journal | None:
    """Return the journals of an output with this process's own opened; None for a shard of a file that is written.

    Called by all ranks together. Raises: UserError, in all of them, if another process works on the output or part of
        it, or has left a journal of other settings.
    """
    journal, refusal = None, None
    if comm.is_main_process():
        try:
            with gate(output):
                journal = _claim(output, info, part)
        except UserError as error:
            refusal = str(error)
    refusal, is_written = comm.all_gather((refusal, journal is None))[0]
    if refusal is not None:
        raise UserError(refusal)
    if is_written or comm.is_main_process():
        return journal
    return Journal(output, info).open(part.name)


@contextmanager
def gate(output: Path) -> Iterator[None]:
    """Hold the right to start on an output, or to write it; waits for whoever has it."""
    with alone(output.with_name(f"{output.name}.lock"), f"{output} is being written", wait=True):
        yield


def is_written(output: Path, info: dict[str, Any]) -> bool:
    """Whether the file is there already, from the same images and settings."""
    found, wanted = read_info(output), json.loads(json.dumps(info))
    return found is not None and all(found.get(key) == value for key, value in wanted.items())


def _claim(output: Path, info: dict[str, Any], part: Share) -> Journal | None:
    others = parts_at_work(output)
    alone_at_work = [name for name in others if "of" not in name]
    if others and (alone_at_work or not part.shard or part.name in others):
        if part.shard and not alone_at_work:
            raise UserError(
                f"shard {part.name.replace('of', '/')} of {str(output)!r} is at work already, in another process; let it "
                "end, or stop it, and run the same command again"
            )
        raise UserError(
            f"another process is at work on {str(output)!r}; let it end, or stop it, and run the same command again, or "
            "name another --output"
        )
    remove_leftovers(output)
    if part.shard and is_written(output, info):
        remove_abandoned(output)
        return None
    return Journal(output, info).open(part.name)
