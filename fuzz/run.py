"""`make fuzz`: run every family of tries for its share of the time and print a table.

The exit code is 1 if a try failed. One process imports the commands once. Each try is a fork of it,
with limits of memory and time. Failed tries are kept below output/fuzz/ with their inputs and the
command. `--only FAMILY --first N --tries 1` with the same seed repeats one try.
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
_KEPT = 2  # number of failed tries that are kept for each cause


@dataclass
class Tally:
    """Counts of the outcomes of a family's tries.

    Attributes:
        kinds: number of tries per kind of outcome.
        causes: facts per cause of a failure, by its signature.
        seconds: duration of the family in seconds.
        peak_mib: largest peak memory of a try in MiB.
        slowest: duration of the slowest try in seconds.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    causes: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: int = 0
    slowest: float = 0.0

    @property
    def tries(self) -> int:
        """Number of completed tries."""
        return self.kinds.total()

    def add(self, done: Done, kept: Path) -> None:
        """Count a try; keep its folder if it is one of the first with its cause."""
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
        """Return the counts as they are written to the results file."""
        return {
            "tries": self.tries,
            "seconds": round(self.seconds, 1),
            "peak_mib": self.peak_mib,
            "slowest_seconds": self.slowest,
            "outcomes": dict(self.kinds),
            "failures": [{"cause": cause} | facts for cause, facts in self.causes.items()],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 if a try failed, or 2 for a user's mistake."""
    return run_command(lambda: fuzz(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="fuzz", description=__doc__)
    names = ", ".join(FAMILIES)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of all tries (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help="minutes for all families together (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="tries at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="FAMILY",
        help=f"run this family only; may be repeated: {names}",
    )
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="number of the first try of each family"
    )
    parser.add_argument("--tries", type=int, metavar="N", help="at most N tries of each family")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/fuzz"),
        metavar="DIR",
        help="output directory for results and failed tries (default: %(default)s)",
    )
    return parser


def fuzz(args: argparse.Namespace) -> int:
    """Run the chosen families one after the other; return 1 if a try failed."""
    if unknown := set(args.only or ()) - set(FAMILIES):
        raise UserError(f"--only {unknown.pop()!r} is unknown; choose from {', '.join(FAMILIES)}")
    if args.jobs < 1 or not args.minutes > 0:
        raise UserError("--jobs and --minutes must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends children, too
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no monitor thread: threads do not survive a fork
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
    """Return the output directory without the files of an earlier run.

    Raises: UserError if the directory has files that are not of an earlier run.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RESULTS).is_file():
        raise UserError(
            f"--output {str(folder)!r} has files that are not of an earlier run; "
            "choose another directory"
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
    """Yield a temporary folder for all tries.

    It is not a `TemporaryDirectory`, because a fork would inherit its removal at exit.
    """
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        yield root
    finally:
        shutil.rmtree(os.fsencode(root), ignore_errors=True)


@contextmanager
def _muted(log: Path) -> Iterator[None]:
    """Redirect standard error to a file, because libraries print to it."""
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
    """Return a progress bar; without a terminal it prints a line every ten seconds."""
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
    """Return the commit of the checkout in the current folder; "" if there is none."""
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
        "families": {f.name: {"what": f.description} | tallies[f.name].to_json() for f in chosen},
    }


if __name__ == "__main__":
    sys.exit(main())
