"""What is done already, kept on disk beside the output: an interrupted run goes on where it stopped.

A journal file is a line of settings and then a line for each finished batch, `[index, entry]`. Each process appends to
one of its own, FILE.journal.SHARD-NUMBER; what others left is read, never written. In memory are only the places of
the lines, so that a run over millions of images needs no more than one over thousands.
"""

import glob
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError

Entry = dict[str, Any]


class Journal:
    """The journals of one output.

    Raises: UserError if one of them is of other settings, naming these, or if the disk refuses.
    """

    def __init__(self, output: Path, info: dict[str, Any]):
        self._output = output
        self._info = info
        self._places: dict[int, tuple[Path, int]] = {}
        self._file: Any = None
        self.read()

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self) -> None:
        """Takes up what any process has finished by now."""
        for path in self._paths():
            with path.open("rb") as file:
                header = file.readline()
                if not header.endswith(b"\n"):
                    continue
                place = file.tell()
                if not file.readline().endswith(b"\n"):
                    continue  # nothing was finished, so nothing is lost whatever the settings
                file.seek(place)
                self._check(path, _parsed(header, path))
                for line in file:
                    # a line without its end was being written when the run was killed
                    if line.endswith(b"\n"):
                        self._places[_index(line, path)] = (path, place)
                    place += len(line)

    def open(self, shard: int) -> "Journal":
        """Starts this process's own file, as a context; those of earlier runs stay until all is done."""
        number = sum(path.suffix.startswith(f".{shard}-") for path in self._paths())
        path = self._output.with_name(f"{self._output.name}.journal.{shard}-{number}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # without a buffer: what could not be written is not tried again when the file is closed
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        self._path = path
        self._write(json.dumps(self._info))
        return self

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, index: int, entry: Entry) -> None:
        """Keeps a finished batch."""
        place = self._file.tell()
        self._write(json.dumps([index, entry]))
        self._places[index] = (self._path, place)

    def entry(self, index: int) -> Entry:
        """A finished batch."""
        path, place = self._places[index]
        with path.open("rb") as file:
            file.seek(place)
            return _parsed(file.readline(), path)[1]

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """All finished batches, by index."""
        for index in sorted(self._places):
            yield index, self.entry(index)

    def remove(self) -> None:
        """Deletes every journal: the output is written."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self._output.parent.glob(f"{glob.escape(self._output.name)}.journal.*"))

    def _check(self, path: Path, header: Any) -> None:
        if not isinstance(header, dict):
            raise _damaged(path)
        differing = [key for key in self._info if header.get(key) != self._info[key]]
        if differing:
            raise UserError(
                f"{path} is of an interrupted run with other settings ({', '.join(differing)}); repeat that run, or "
                "remove the file to start anew"
            )

    def _write(self, line: str) -> None:
        left = line.encode() + b"\n"
        try:
            while left:  # a disk that fills up takes a part first
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write the journal of {str(self._output)!r}: {error.strerror or error}; what is finished is kept, "
            "the same command goes on from there"
        )


def _index(line: bytes, path: Path) -> int:
    """The number at the start of `[index, entry]`, without reading the rest."""
    match = re.match(rb"\[(\d{1,18}), ", line)
    if match is None:
        raise _damaged(path)
    return int(match[1])


def _parsed(line: bytes, path: Path) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UserError:
    return UserError(f"the journal {str(path)!r} is damaged; remove the file to do its images anew")
