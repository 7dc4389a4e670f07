"""Journals of finished batches beside the output file, from which an interrupted run continues.

A journal file has one line of settings, then one line `CHECKSUM [index, entry]` per finished batch.
Each process appends to a file of its own, FILE.journal.PART-NUMBER, and keeps it locked. It reads
the files of other processes, but never writes them. Memory holds only the positions of the lines: a
run over millions of images needs as much as one over thousands.
"""

import glob
import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.locks import Lock, is_abandoned, is_held, take_lock

logger = logging.getLogger(__name__)

Entry = dict[str, Any]

_LINE = re.compile(rb"([0-9a-f]{8}) (\[(\d{1,18}), .*\])\n", re.DOTALL)
_NAME = re.compile(r".*\.journal\.(\d+(?:of\d+)?)-\d+")


class _Place(NamedTuple):
    """Position of a batch's line: file, first byte, number of bytes."""

    path: Path
    start: int
    length: int


def journals_of(output: Path) -> dict[Path, str]:
    """Return the journal files of an output, each with the part of the work that it records.

    A part is a rank ("0") or a shard ("2of3").
    """
    candidates = output.parent.glob(f"{glob.escape(output.name)}.journal.*")
    named = ((path, _NAME.fullmatch(path.name)) for path in sorted(candidates))
    return {path: match[1] for path, match in named if match}


def parts_at_work(output: Path) -> set[str]:
    """Return the parts of an output that processes are computing now, judged by the file locks."""
    return {part for path, part in journals_of(output).items() if is_held(path)}


class Journal:
    """The journals of one output.

    Args:   info: settings of this run; the journals must have been written with the same ones.
    Raises: UserError if a journal has other settings (it names them), or if the disk refuses.
    """

    def __init__(self, output: Path, info: dict[str, Any]):
        self._output = output
        self._info = json.loads(json.dumps(info))  # in the form that a header gives
        self._places: dict[int, _Place] = {}
        self._seen: dict[Path, int] = {}  # bytes read of each file
        self._file: Any = None
        self._lock: Lock | None = None
        self._path: Path | None = None
        self.read()

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self) -> None:
        """Read the batches that any process has finished since the last call.

        It forgets batches whose files are gone, and skips damaged lines and damaged files.
        """
        present = journals_of(self._output)
        for path in self._seen.keys() - present.keys():  # another process has written the output
            del self._seen[path]
            self._places = {index: p for index, p in self._places.items() if p.path != path}
        for path in present:
            if path != self._path:
                try:
                    with suppress(FileNotFoundError), path.open("rb") as file:
                        self._read(path, file)
                except OSError as error:
                    raise UserError(
                        f"cannot read {path}: {error.strerror or error}; it belongs to an "
                        "interrupted run: make it readable, or remove it to start anew"
                    ) from error

    def _read(self, path: Path, file: Any) -> None:
        place = self._seen.get(path, 0)
        if place == 0:
            header = file.readline()
            place = len(header)
            if not header.endswith(b"\n") or not file.readline().endswith(b"\n"):
                return  # no batch was finished: there is nothing to lose, whatever the settings
            if not self._fits(path, header):
                return
        file.seek(place)
        damaged = 0
        for line in file:
            # incomplete line: a process is writing it now, or was killed while writing it
            if not line.endswith(b"\n"):
                break
            index = _index(line)
            if index is None:
                damaged += 1
            else:
                self._places[index] = _Place(path, place, len(line))
            place += len(line)
        self._seen[path] = place
        if damaged:
            logger.warning("%s: %d damaged lines are skipped and computed again", path, damaged)

    def open(self, part: str) -> "Journal":
        """Start this process's own file; the journal is then a context manager that closes it.

        Files of earlier runs stay until the output is written.
        """
        number = 0
        taken = journals_of(self._output)
        while (path := self._named(part, number)) in taken:
            number += 1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(path, wait=True)
            # no buffer: closing the file must not retry a failed write
            self._file = path.open("r+b", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        self._path = path
        self._write(json.dumps(self._info).encode() + b"\n")
        return self

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None
        nothing_done = not any(place.path == self._path for place in self._places.values())
        self._lock.release(remove=nothing_done)
        self._file.close()

    def add(self, index: int, entry: Entry) -> None:
        """Append a finished batch."""
        assert self._path is not None
        content = json.dumps([index, entry]).encode()
        line = b"%08x %s\n" % (zlib.crc32(content), content)
        start = self._file.tell()
        self._write(line)
        self._places[index] = _Place(self._path, start, len(line))

    def entry(self, index: int) -> Entry:
        """Return the entry of a finished batch.

        Raises: UserError if another program has changed the file.
        """
        place = self._places[index]
        if place.path == self._path:
            # the open file is readable even if its folder was removed
            line = os.pread(self._file.fileno(), place.length, place.start)
        else:
            with place.path.open("rb") as file:
                file.seek(place.start)
                line = file.read(place.length)
        if _index(line) != index:
            raise UserError(
                f"{place.path} changed while this ran; its undamaged lines are kept: run the same "
                "command again"
            )
        entry: Entry = json.loads(line[9:])[1]
        return entry

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Iterate over the entries of all finished batches, sorted by batch index."""
        for index in sorted(self._places):
            yield index, self.entry(index)

    def remove(self) -> None:
        """Delete every journal of the output, which is now written."""
        for path in journals_of(self._output):
            path.unlink(missing_ok=True)

    def restore(self) -> None:
        """Write this process's own file again if it, or its folder, was removed."""
        assert self._path is not None
        if self._path.exists():
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file.seek(0)  # the copy ends where the next line starts
            with self._path.open("wb") as file:
                shutil.copyfileobj(self._file, file)
        except OSError as error:
            raise self._refused(error) from error

    def _named(self, part: str, number: int) -> Path:
        return self._output.with_name(f"{self._output.name}.journal.{part}-{number}")

    def _fits(self, path: Path, line: bytes) -> bool:
        """Return True if a journal's settings can be read and are those of this run.

        Raises: UserError if they are other settings.
        """
        try:
            header = json.loads(line)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            logger.warning("%s is damaged and skipped: its first line is no JSON object", path)
            return False
        differing = [key for key in self._info if header.get(key) != self._info[key]]
        if differing:
            raise UserError(
                f"{path} belongs to an interrupted run with other settings "
                f"({', '.join(differing)}); repeat that run, or remove the file to start anew"
            )
        return True

    def _write(self, line: bytes) -> None:
        try:
            while line:  # a disk that becomes full accepts only a part
                line = line[self._file.write(line) :]
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write the journal of {str(self._output)!r}: {error.strerror or error}; "
            "finished batches are kept, and the same command continues from there"
        )


def remove_abandoned(output: Path) -> None:
    """Delete the journals of a written output that no process has locked."""
    for path in journals_of(output):
        if is_abandoned(path):
            path.unlink(missing_ok=True)


def _index(line: bytes) -> int | None:
    """Return the batch index in a line, without parsing its entry; None if the line is damaged."""
    match = _LINE.fullmatch(line)
    if match is None or zlib.crc32(match[2]) != int(match[1], 16):
        return None
    return int(match[3])
