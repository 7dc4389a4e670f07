"""Coordination of processes on one output: either one whole run, or several shards of it.

Each working process keeps its journal locked. Processes take FILE.lock one after the other to start
work or to write the file.
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

    Attributes:
        name: part of the journal's file name: "0" for a rank, "2of3" for a shard.
        shard: True if processes that do not communicate with this one compute the other parts.
    """

    first: int
    step: int
    name: str
    shard: bool

    @classmethod
    def of(cls, shard: tuple[int, int] | None) -> "Share":
        """Return the part of a shard (number from 1, count), or of this process's rank."""
        if shard is None:
            rank = comm.get_rank()
            return cls(rank, comm.get_world_size(), str(rank), shard=False)
        number, count = shard
        return cls(number - 1, count, f"{number}of{count}", shard=True)


def claim(output: Path, info: dict[str, Any], part: Share) -> Journal | None:
    """Return the journals of an output, with this process's own file opened.

    All ranks call it together.

    Returns: None for a shard if the output file exists already.
    Raises: UserError, in all ranks, if another process works on the output or on the same part, or
        has left a journal with other settings.
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
    """Hold the lock to start work on an output or to write it; wait until it is free."""
    with alone(output.with_name(f"{output.name}.lock"), f"{output} is being written", wait=True):
        yield


def is_written(output: Path, info: dict[str, Any]) -> bool:
    """Return True if the file exists and was made from the same images and settings."""
    present, wanted = read_info(output), json.loads(json.dumps(info))
    return present is not None and all(present.get(key) == value for key, value in wanted.items())


def _claim(output: Path, info: dict[str, Any], part: Share) -> Journal | None:
    others = parts_at_work(output)
    alone_at_work = [name for name in others if "of" not in name]
    if others and (alone_at_work or not part.shard or part.name in others):
        if part.shard and not alone_at_work:
            raise UserError(
                f"shard {part.name.replace('of', '/')} of {str(output)!r} is at work already, in "
                "another process; let it end, or stop it, and run the same command again"
            )
        raise UserError(
            f"another process is at work on {str(output)!r}; let it end, or stop it, and run the "
            "same command again, or name another --output"
        )
    remove_leftovers(output)
    if part.shard and is_written(output, info):
        remove_abandoned(output)
        return None
    return Journal(output, info).open(part.name)
