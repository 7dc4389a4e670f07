"""The folder of one try: what it reads, where it may write, and what was written elsewhere."""

import os
from contextlib import suppress
from pathlib import Path

ESCAPE = "fuzz_escape"  # in every name that tries to leave its folder
MARK_SUFFIX = ".ran"  # of files that hostile code makes beside its own
_WRITABLE = ("out", "log")


class Sandbox:
    """The folders `given` (inputs), `out` (the only place for outputs), `here` (the current one), `tmp` and `home`.

    Attributes: mark: a file that only hostile code makes.
    """

    def __init__(self, root: Path):
        self.root = root
        for name in ("given", "out", "here", "tmp", "home", "log"):
            (root / name).mkdir(parents=True)
        self.given, self.out, self.log = root / "given", root / "out", root / "log"
        self.mark = root / "mark"
        self._before: dict[str, tuple[int, ...]] = {}

    def enter(self) -> None:
        """Make it the process's own: current folder, home, temporary files, and where hostile code leaves its mark."""
        os.chdir(self.root / "here")
        os.environ["TMPDIR"] = str(self.root / "tmp")
        os.environ["HOME"] = str(self.root / "home")
        os.environ["FUZZ_MARK"] = str(self.mark)

    def remember(self) -> None:
        """Take down what is there before the try."""
        self._before = self._state()

    def strays(self) -> list[str]:
        """Return what is new, changed or gone outside `out`, temporary files in it, and names that left the folder."""
        now = self._state()
        changed = {name for name in now if now[name] != self._before.get(name)}
        found = sorted(changed | (self._before.keys() - now.keys()))
        found += [str(p) for p in self.out.rglob("*") if p.name.endswith(".tmp")]
        return found + [str(path) for path in self._escaped()]

    def _escaped(self) -> list[Path]:
        """What left the folder, which is removed: the next try shall not be blamed."""
        found = []
        for above in self.root.parents:
            with suppress(OSError):
                found += [above / name for name in os.listdir(above) if ESCAPE in name]
        for path in found:
            with suppress(OSError):
                path.unlink()
        return found

    def _state(self) -> dict[str, tuple[int, ...]]:
        """Kind, size and time of everything that must stay as it is."""
        state = {}
        for folder, folders, names in os.walk(self.root):
            if Path(folder) == self.root:
                folders[:] = [name for name in folders if name not in _WRITABLE]
            for name in names + folders:
                path = os.path.join(folder, name)
                if path == str(self.mark):
                    continue
                status = os.lstat(path)
                is_file = not os.path.isdir(path)
                facts = (status.st_size, status.st_mtime_ns) if is_file else ()
                state[os.path.relpath(path, self.root)] = (status.st_mode, *facts)
        return state
