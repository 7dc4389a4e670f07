"""The folder of one try: its inputs, its output directory, and a check for files elsewhere."""

import os
from contextlib import suppress
from pathlib import Path

ESCAPE = "fuzz_escape"  # part of every name that tries to leave its folder
MARK_SUFFIX = ".ran"  # suffix of files that hostile code makes beside its own file
_WRITABLE = ("out", "log")


class Sandbox:
    """Folders of a try.

    Attributes:
        root: contains all folders, also `here` (the current folder), `tmp` and `home`.
        given: the inputs.
        out: the only folder for outputs.
        log: output and stack of the process.
        mark: a file that only hostile code makes.
    """

    def __init__(self, root: Path):
        self.root = root
        for name in ("given", "out", "here", "tmp", "home", "log"):
            (root / name).mkdir(parents=True)
        self.given, self.out, self.log = root / "given", root / "out", root / "log"
        self.mark = root / "mark"
        self._before: dict[str, tuple[int, ...]] = {}

    def enter(self) -> None:
        """Set the process's current folder, home, folder of temporary files, and mark."""
        os.chdir(self.root / "here")
        os.environ["TMPDIR"] = str(self.root / "tmp")
        os.environ["HOME"] = str(self.root / "home")
        os.environ["FUZZ_MARK"] = str(self.mark)

    def remember(self) -> None:
        """Record the files before the try."""
        self._before = self._state()

    def strays(self) -> list[str]:
        """Return the paths that a try may not leave behind.

        They are new, changed or missing files outside `out`, temporary files in `out`, and files
        outside the folder of the try.
        """
        now = self._state()
        changed = {name for name in now if now[name] != self._before.get(name)}
        strays = sorted(changed | (self._before.keys() - now.keys()))
        strays += [str(p) for p in self.out.rglob("*") if p.name.endswith(".tmp")]
        return strays + [str(path) for path in self._escaped()]

    def _escaped(self) -> list[Path]:
        """Return and remove the files outside the folder of the try.

        They are removed because they would count as a fault of the next try.
        """
        escaped = []
        for above in self.root.parents:
            with suppress(OSError):
                escaped += [above / name for name in os.listdir(above) if ESCAPE in name]
        for path in escaped:
            with suppress(OSError):
                path.unlink()
        return escaped

    def _state(self) -> dict[str, tuple[int, ...]]:
        """Return mode, size and time of every file that a try must not change."""
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
