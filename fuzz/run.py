"""`make fuzz`: every family for its share of the time, a table, and exit code 1 if anything failed.

One process imports the commands once; each try is a fork of it, with limits of memory and time. What failed is kept
below output/fuzz/, a folder for each cause, with the inputs and the command. `--only FAMILY --first N --tries 1` with
the same seed repeats one.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from tabulate import tabulate
from tqdm import tqdm

from boxrefine_d2.diagnostics.devices import cpu_name, usable_cores
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json

from .families import FAMILIES, family_of
from .family import Family
from .outcomes import BAD, GOOD, signature
from .pool import Done, Pool, keep

MINUTES = 10.0
RESULTS = "fuzz.json"
_KEPT = 2  # failed tries of one cause that are kept


@dataclass
class Tally:
    """What became of the tries of a family."""

    kinds: Counter[str] = field(default_factory=Counter)
    causes: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: int = 0
    slowest: float = 0.0

    @property
    def tries(self) -> int:
        """How many ended."""
        return self.kinds.total()

    def add(self, done: Done, kept: Path) -> None:
        """Count a try; keep what it left if it is one of the first of its cause."""
        self.kinds[done.outcome.kind] += 1
        self.peak_mib = max(self.peak_mib, done.outcome.peak_mib)
        self.slowest = max(self.slowest, done.outcome.seconds)
        if not done.outcome.failed:
            return
        cause = self.causes.setdefault(
            signature(done.outcome),
            {
                "count": 0,
                "first": done.number,
                "title": done.title,
                "detail": done.outcome.detail,
                "kept": [],
            },
        )
        cause["count"] += 1
        if len(cause["kept"]) < _KEPT:
            cause["kept"].append(str(keep(done, kept)))
        else:
            shutil.rmtree(os.fsencode(done.folder), ignore_errors=True)

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        return {
            "tries": self.tries,
            "seconds": round(self.seconds, 1),
            "peak_mib": self.peak_mib,
            "slowest_seconds": self.slowest,
            "outcomes": dict(self.kinds),
            "failures": [{"cause": cause} | facts for cause, facts in self.causes.items()],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, 1 if a try failed, 2 for a user's mistake."""
    return run_command(lambda: fuzz(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="fuzz", description=__doc__)
    names = ", ".join(FAMILIES)
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, metavar="M", help="of all families"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="tries at a time")
    parser.add_argument("--only", action="append", metavar="FAMILY", help=names)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="try to begin with")
    parser.add_argument("--tries", type=int, metavar="N", help="of each family, at most")
    parser.add_argument("--output", type=Path, default=Path("output/fuzz"), metavar="DIR")
    return parser


def fuzz(args: argparse.Namespace) -> int:
    """Try the chosen families one after the other. Returns 1 if anything failed."""
    if unknown := set(args.only or ()) - set(FAMILIES):
        raise UserError(f"--only {unknown.pop()!r}: known: {', '.join(FAMILIES)}")
    if args.jobs < 1 or not args.minutes > 0:
        raise UserError("--jobs and --minutes must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # children end, too
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # a thread, and threads do not survive a fork
    chosen = [family_of(name) for name in args.only or FAMILIES]
    shares = sum(family.share for family in chosen)
    kept = _emptied(args.output.absolute())
    here, tallies, commit = Path.cwd(), {}, _commit()
    for family in chosen:
        seconds = args.minutes * 60 * family.share / shares
        tallies[family.name] = _try_family(family, args, seconds, kept)
        os.chdir(here)
    write_json(kept / RESULTS, _record(args, chosen, tallies, commit))
    print(f"\n{_table(tallies)}\n{kept / RESULTS}")
    for name, tally in tallies.items():
        for cause, facts in tally.causes.items():
            print(f"{name}: {facts['count']} x {cause}\n  {facts['title']}; {facts['kept'][0]}")
    return int(any(tally.causes for tally in tallies.values()))


def _emptied(folder: Path) -> Path:
    """The folder for what failed, without what an earlier run left; nobody else's files are removed."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RESULTS).is_file():
        raise UserError(
            f"--output {str(folder)!r} holds files that are not of an earlier run; name another folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / RESULTS).write_text("{}")
    return folder


def _try_family(family: Family, args: argparse.Namespace, seconds: float, kept: Path) -> Tally:
    tally, start = Tally(), monotonic()
    with _scratch() as root, _progress(family.name, args.tries) as bar:
        base = root / "valid"
        base.mkdir()
        with _muted(root / "prepared.txt"):
            family.prepare(base)
        pool = Pool(family, args.seed, root, args.jobs)
        for done in pool.run(start + seconds, args.first, args.tries):
            tally.add(done, kept)
            if os.environ.get("FUZZ_SLOW") and done.outcome.seconds > float(
                os.environ["FUZZ_SLOW"]
            ):
                tqdm.write(f"{done.number} {done.title} {done.outcome}")
            bar.set_postfix(failed=tally.tries - sum(tally.kinds[k] for k in GOOD), refresh=False)
            bar.update()
    tally.seconds = monotonic() - start
    return tally


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for all tries. Not tempfile's, whose removal at exit a fork would inherit."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        yield root
    finally:
        shutil.rmtree(os.fsencode(root), ignore_errors=True)


@contextmanager
def _muted(log: Path) -> Iterator[None]:
    """What libraries print goes to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def _progress(name: str, tries: int | None) -> tqdm:
    """A bar; without a terminal a line every ten seconds."""
    return tqdm(
        total=tries,
        desc=name,
        unit="try",
        mininterval=0.2 if sys.stderr.isatty() else 10,
        leave=True,
    )


def _table(tallies: dict[str, Tally]) -> str:
    shown = [kind for kind in (*GOOD, *BAD) if any(t.kinds[kind] for t in tallies.values())]
    rows = [
        [
            name,
            t.tries,
            f"{t.tries / t.seconds:.1f}",
            t.slowest,
            t.peak_mib,
            *[t.kinds[kind] for kind in shown],
        ]
        for name, t in tallies.items()
    ]
    return tabulate(rows, ["family", "tries", "per s", "slowest s", "MiB", *shown])


def _commit() -> str:
    """Of the checkout here; "" where there is none."""
    with suppress(OSError):
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
        return done.stdout.strip()
    return ""


def _record(
    args: argparse.Namespace, chosen: Sequence[Family], tallies: dict[str, Tally], commit: str
) -> dict[str, Any]:
    options = f" --only {' --only '.join(args.only)}" if args.only else ""
    command = f"python -m fuzz.run --seed {args.seed} --minutes {args.minutes:g} --jobs {args.jobs}"
    return {
        "command": command + options,
        "seed": args.seed,
        "commit": commit,
        "machine": f"{cpu_name()}, {usable_cores()} cores",
        "families": {f.name: {"what": f.what} | tallies[f.name].to_json() for f in chosen},
    }


if __name__ == "__main__":
    sys.exit(main())
