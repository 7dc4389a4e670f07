"""Pool of watched processes that run tries.

A process that dies, hangs or leaves another process behind makes its try fail.
"""

import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from .child import serve
from .family import Family
from .outcomes import HANG, MEMORY, PROCESS, SIGNAL, Outcome
from .sessions import GRACE, end_session


@dataclass(frozen=True)
class Done:
    """A completed try; its folder still exists if it failed."""

    number: int
    title: str
    outcome: Outcome
    folder: Path


@dataclass
class _Child:
    pid: int
    pipe: int
    numbers: range
    unread: bytes = b""
    number: int | None = None
    since: float = 0.0
    last: dict | None = None
    hung: bool = False


class Pool:
    """Runner of a family's tries in `jobs` forked processes at a time.

    Attributes: grace: seconds after a command's end in which its child processes must end.
    """

    grace = GRACE

    def __init__(self, family: Family, seed: int, root: Path, jobs: int):
        self.family, self.seed, self.root, self.jobs = family, seed, root, jobs
        self._left: list[range] = []  # remaining tries of processes that died

    def run(self, until: float, first: int = 0, tries: int | None = None) -> Iterator[Done]:
        """Yield each try at its end, until the time is over or `tries` tries have begun.

        Args:
            until: end of the time, in seconds of `monotonic`.
            first: number of the first try.
            tries: number of tries; None for no limit.
        """
        children: list[_Child] = []
        try:
            yield from self._all(
                children, until, first, sys.maxsize if tries is None else first + tries
            )
        finally:
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                end_session(child.pid, 0)

    def _all(self, children: list[_Child], until: float, first: int, end: int) -> Iterator[Done]:
        parts = self._parts(first, end)
        while True:
            while len(children) < self.jobs and monotonic() < until:
                numbers = self._left.pop() if self._left else next(parts, None)
                if numbers is None:
                    break
                children.append(self._fork(numbers, until, children))
            if not children:
                return
            for child in self._ready(children):
                yield from self._read(child, children)

    def _parts(self, first: int, end: int) -> Iterator[range]:
        """Yield the numbers of the tries for each process."""
        for start in range(first, end, self.family.per_child):
            yield range(start, min(start + self.family.per_child, end))

    def _fork(self, numbers: range, until: float, others: list[_Child]) -> _Child:
        sys.stdout.flush()
        sys.stderr.flush()
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            for other in others:
                os.close(other.pipe)
            os.close(read_end)
            os.set_inheritable(write_end, False)
            serve(self.family, self.seed, numbers, until, self.root, write_end)
        os.close(write_end)
        return _Child(pid, read_end, numbers, since=monotonic())

    def _ready(self, children: list[_Child]) -> list[_Child]:
        """Return the children with unread messages, and kill those that hang.

        A killed child closes its pipe and is returned by a later call.
        """
        poller = select.poll()
        for child in children:
            poller.register(child.pipe, select.POLLIN | select.POLLHUP)
        readable = {fd for fd, _ in poller.poll(200)}
        for child in children:
            if child.pipe not in readable and monotonic() - child.since > self.family.limit:
                child.hung = True
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGUSR1)
                    sleep(0.3)  # the child writes its stack
                    os.killpg(child.pid, signal.SIGKILL)
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
        return [child for child in children if child.pipe in readable]

    def _read(self, child: _Child, children: list[_Child]) -> Iterator[Done]:
        block = os.read(child.pipe, 65536)
        if not block:
            children.remove(child)
            os.close(child.pipe)
            yield from self._buried(child)
            return
        *lines, child.unread = (child.unread + block).split(b"\n")
        for line in lines:
            message = json.loads(line)
            child.since = monotonic()
            if "begin" in message:
                if child.last:
                    yield self._done(child.last)
                child.number, child.last = message["begin"], None
            else:
                child.last = message

    def _buried(self, child: _Child) -> Iterator[Done]:
        """Yield the last try of a dead process, judged by its end and by the processes it left."""
        _, status = os.waitpid(child.pid, 0)
        left = end_session(child.pid, self.grace)
        if child.number is None:
            return
        if rest := range(child.number + 1, child.numbers.stop):
            self._left.append(rest)
        name = {"end": child.number, "title": self._title(child.number)}
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        last = child.last
        if child.hung and last is None:
            detail = f"over {self.family.limit:.0f} s | {self._stack(child.number)}"
            last = name | {"outcome": Outcome(HANG, detail).to_json()}
        elif killed and last is None:
            kind = MEMORY if killed == signal.SIGKILL else SIGNAL
            detail = f"killed by {signal.Signals(killed).name} | {self._fault(child.number)}"
            last = name | {"outcome": Outcome(kind, detail).to_json()}
        elif last is None:
            code = os.waitstatus_to_exitcode(status)
            last = name | {"outcome": Outcome(SIGNAL, f"left with {code}").to_json()}
        elif (left or child.hung) and not Outcome(**last["outcome"]).failed:
            detail = f"{len(left)} outlived their command: {', '.join(left[:2])}"
            last = last | {"outcome": Outcome(PROCESS, detail).to_json()}
        yield self._done(last)

    def _done(self, message: dict) -> Done:
        number = message["end"]
        folder = self.root / f"{self.family.name}-{number}"
        return Done(number, message["title"], Outcome(**message["outcome"]), folder)

    def _log(self, number: int, name: str) -> list[str]:
        path = self.root / f"{self.family.name}-{number}" / "log" / name
        with suppress(OSError):
            return path.read_text(errors="replace").splitlines()
        return []

    def _title(self, number: int) -> str:
        return next(iter(self._log(number, "try.txt")), "while it was drawn")

    def _stack(self, number: int) -> str:
        """Return the place where a process hung: its innermost frame, and that of the package."""
        frames = [x.strip() for x in self._log(number, "stack.txt") if x.startswith("  File")]
        own = [x for x in frames if "/boxrefine_d2/" in x]
        return "; ".join(dict.fromkeys(frames[:1] + own[:1])) or "no stack"

    def _fault(self, number: int) -> str:
        frames = [x.strip() for x in self._log(number, "printed.txt") if x.startswith("  File")]
        return "; ".join(frames[:2]) or "no stack"


def keep(done: Done, folder: Path, most_bytes: int = 20 * 2**20) -> Path:
    """Move the folder of a failed try; keep only its log if it exceeds `most_bytes`.

    Returns: path of the kept folder.
    """
    copy = folder / f"{done.folder.name}-{done.outcome.kind.replace(' ', '_')}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    paths = [p for p in done.folder.rglob("*") if p.is_file() and not p.is_symlink()]
    with suppress(OSError, shutil.Error):  # pipes and sockets stay behind
        small = sum(p.stat().st_blocks * 512 for p in paths) <= most_bytes
        source = done.folder if small else done.folder / "log"
        shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True, ignore=_specials)
    text = f"{done.outcome.kind}: {done.outcome.detail}\n"
    with suppress(OSError):  # no such file if the process died before the try was drawn
        text = (done.folder / "log" / "try.txt").read_text() + text
    (copy / "try.txt").write_text(text, errors="backslashreplace")
    shutil.rmtree(done.folder, ignore_errors=True)
    return copy


def _specials(folder: str, names: list[str]) -> list[str]:
    paths = [(name, os.path.join(folder, name)) for name in names]
    return [n for n, p in paths if not (os.path.islink(p) or os.path.isfile(p) or os.path.isdir(p))]
