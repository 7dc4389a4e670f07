"""The demo: the main job for each seed, then one result, results.json, and one page, report.html.

Each seed is a run of train_net.py, exactly the command that the page quotes; its log is log.txt in its folder.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.engine import config_sha256, load_config
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.report import Run, labels, read_run, summarise, summary_table, write_page

TRAIN_NET = Path(__file__).with_name("train_net.py")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(prog="run_demo.py", description=__doc__)
    parser.add_argument("--config-file", default="configs/demo/lost_refine.yaml", metavar="FILE")
    parser.add_argument("--output", type=Path, default=Path("output/demo"), metavar="DIR")
    parser.add_argument("--seeds", default="0", metavar="N[,N...]", help="one run for each")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep seeds that are finished with these settings, and go on where another one stopped",
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the configuration")
    return parser


def parse_seeds(text: str) -> list[int]:
    """[0, 1, 2] from "0,1,2". Raises `UserError` for anything but different whole numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"--seeds {text!r}: whole numbers are needed, as in 0,1,2")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) != len(seeds):
        raise UserError(f"--seeds {text!r}: every seed once")
    return seeds


def train_command(args: argparse.Namespace, seed: int) -> list[str]:
    """The run of one seed, without the interpreter."""
    script = os.path.relpath(TRAIN_NET) if TRAIN_NET.is_relative_to(Path.cwd()) else str(TRAIN_NET)
    flags = ["--resume"] if args.resume else []
    return [script, "--config-file", args.config_file, *flags, *changes(args, seed)]


def changes(args: argparse.Namespace, seed: int) -> list[str]:
    """KEY VALUE pairs of the run of one seed."""
    return [*args.opts, "SEED", str(seed), "OUTPUT_DIR", str(args.output / f"seed_{seed}")]


def is_finished(args: argparse.Namespace, seed: int) -> bool:
    """Whether the folder of that seed holds the results of a run with these very settings."""
    folder = args.output / f"seed_{seed}"
    if not (folder / "results.json").is_file():
        return False
    wanted = config_sha256(load_config(args.config_file, changes(args, seed)))
    return read_run(folder).results["config_sha256"] == wanted


def quoted(word: str) -> str:
    """A word for a shell: in double quotes, as people write dataset specs, where that says the same."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def check_settings(args: argparse.Namespace) -> None:
    """Raises `UserError` for what would only be found wrong after the training."""
    taken = [key for key in args.opts[::2] if key in ("SEED", "OUTPUT_DIR")]
    if taken:
        raise UserError(f"{taken[0]} is set by the demo; give --seeds or --output")
    if not load_config(args.config_file, args.opts).DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: the demo needs images with labels to score")


def run_demo(args: argparse.Namespace) -> int:
    """Trains, sums up, draws. Returns 0, or the exit code of the run that failed."""
    seeds = parse_seeds(args.seeds)
    check_settings(args)
    results, page = args.output / "results.json", args.output / "report.html"
    for stale in (results, page):
        stale.unlink(missing_ok=True)
    runs, commands = [], []
    for number, seed in enumerate(seeds, start=1):
        command = train_command(args, seed)
        folder = args.output / f"seed_{seed}"
        place = f"seed {seed} ({number} of {len(seeds)})"
        if args.resume and is_finished(args, seed):
            print(f"{place}: finished before, in {folder}")
        else:
            print(f"{place}: training, log in {folder / 'log.txt'}")
            code = _train(command, seed)
            if code:
                return code
        runs.append(read_run(folder))
        commands.append(" ".join(["python", *map(quoted, command)]))
        print(_one_line(runs[-1]))
    print("summing up and drawing the page")
    summary = summarise(runs, commands)
    write_json(results, summary)
    write_page(page, summary, runs)
    print(f"\n{summary_table(summary)}\n\n{results}\n{page}: open it in a browser")
    return 0


def _train(command: Sequence[str], seed: int) -> int:
    """Runs it; its log stays out of sight, its progress bar and errors go through. Returns its exit code."""
    sys.stdout.flush()
    code = subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL).returncode
    if code < 0:
        print(f"error: the run of seed {seed} was killed by signal {-code}", file=sys.stderr)
        return 128 - code
    return code


def _one_line(run: Run) -> str:
    """What a seed gave, and how long its phases took."""
    corloc = next(iter(run.results["datasets"].values()))["corloc"]
    found = ", ".join(f"{label} {corloc[source]:.1f}" for source, label in labels(run.rule).items())
    seconds = run.results["record"]["seconds"]
    times = ", ".join(f"{phase} {s:.0f} s" for phase, s in seconds.items())
    return f"  CorLoc: {found} ({times})"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, 2 for a user's mistake, or what a failed run returned."""
    return run_command(lambda: run_demo(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
