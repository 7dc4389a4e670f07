"""Train the demonstration of refinement: one run per seed, then results.json and report.html.

To see what a network finds in one image, use `boxrefine demo`, which is tools/demo.py.

Each seed is a run of train_net.py with exactly the command that the page quotes. Its log is log.txt
in the run's folder. With --detectors, the stages of configs/pipelines/demo.yaml follow the first
seed.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import TextIO

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files.names import user_name, user_path
from boxrefine_d2.files.outputs import check_output_file, check_output_folder
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.report import (
    Run,
    detector_summary,
    labels,
    plan_detectors,
    read_detectors,
    read_run,
    summarise,
    summary_table,
    write_page,
)
from boxrefine_d2.training.results_file import config_sha256
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import Stage, run_child, run_plan

TRAIN_NET = Path(__file__).with_name("train_net.py")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="run_demo.py", description=__doc__)
    parser.add_argument(
        "--config-file",
        type=user_name,
        default="configs/demo/lost_refine.yaml",
        metavar="FILE",
        help="path of a configuration file, or name of one that ships; default: %(default)s",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        default=Path("output/demo"),
        metavar="DIR",
        help="output directory; default: %(default)s",
    )
    parser.add_argument(
        "--seeds",
        default="0",
        metavar="N[,N...]",
        help="seeds, with one run for each; default: %(default)s",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip seeds that were finished with these settings, and continue an interrupted one",
    )
    parser.add_argument(
        "--detectors",
        action="store_true",
        help="also train CAD on the first seed's boxes, before refinement and after it",
    )
    parser.add_argument(
        "opts",
        nargs="*",
        metavar="KEY VALUE",
        help="changes to the configuration, such as SOLVER.MAX_ITER 1500; default: none",
    )
    return parser


def parse_seeds(text: str) -> list[int]:
    """Parse the value of --seeds: [0, 1, 2] from "0,1,2".

    Raises: UserError for anything but different whole numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"--seeds {text!r}: whole numbers are needed, as in 0,1,2")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) != len(seeds):
        raise UserError(f"--seeds {text!r}: name every seed once")
    return seeds


def train_command(args: argparse.Namespace, seed: int) -> list[str]:
    """Return the command that runs one seed, without the interpreter."""
    flags = ["--resume"] if args.resume else []
    return [
        tool_path(TRAIN_NET.name),
        "--config-file",
        args.config_file,
        *flags,
        *changes(args, seed),
    ]


def tool_path(name: str) -> str:
    """Return the path of a command beside train_net.py, as a user in this folder would type it."""
    script = TRAIN_NET.with_name(name)
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)


def changes(args: argparse.Namespace, seed: int) -> list[str]:
    """Return the KEY VALUE pairs of the run of one seed."""
    return [*args.opts, "SEED", str(seed), "OUTPUT_DIR", str(args.output / f"seed_{seed}")]


def is_finished(args: argparse.Namespace, seed: int) -> bool:
    """Return True if the folder of that seed holds the results of a run with these settings."""
    folder = args.output / f"seed_{seed}"
    if not (folder / "results.json").is_file():
        return False
    wanted = config_sha256(load_config(args.config_file, changes(args, seed)))
    results = read_run(folder).results
    failed_at_its_end = results.get("record") == {}
    return results.get("config_sha256") == wanted and not failed_at_its_end


def quoted(word: str) -> str:
    """Quote a word for a shell, in double quotes if possible, as people write dataset specs."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def check_settings(args: argparse.Namespace) -> None:
    """Refuse now the settings that would cause an error only after the training.

    Raises: UserError, naming the setting.
    """
    reserved = [key for key in args.opts[::2] if key in ("SEED", "OUTPUT_DIR")]
    if reserved:
        raise UserError(f"{reserved[0]} is set by the demo; give --seeds or --output")
    cfg = load_config(args.config_file, args.opts)
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: the demo needs images with labels to score")
    check_device(cfg.MODEL.DEVICE)


def plan_of_detectors(args: argparse.Namespace, seed: int) -> list[Stage]:
    """Return the stages after the run of that seed; none without --detectors.

    Raises: UserError, see `plan_detectors`.
    """
    if not args.detectors:
        return []
    return plan_detectors(
        load_config(args.config_file, changes(args, seed)), args.output / "detectors"
    )


def run_demo(args: argparse.Namespace) -> int:
    """Train, write the results and the page.

    Returns: 0, or the exit code of the run or stage that failed.
    """
    seeds = parse_seeds(args.seeds)
    check_settings(args)
    plan = plan_of_detectors(args, seeds[0])
    results, page = args.output / "results.json", args.output / "report.html"
    check_output_folder(args.output)
    for path in (results, page):
        check_output_file(path, inputs=[find_config(args.config_file)])
    for stale in (results, page):
        stale.unlink(missing_ok=True)
    runs = []
    for number, seed in enumerate(seeds, start=1):
        code = _train(args, seed, f"seed {seed} ({number} of {len(seeds)})")
        if code:
            return code
        runs.append(read_run(args.output / f"seed_{seed}"))
        print(_one_line(runs[-1]))
    if plan and (code := _train_detectors(plan)):
        return code
    detectors = read_detectors(plan[0].folder.parent, runs[0]) if plan else []
    commands = [_typed(train_command(args, seed)) for seed in seeds]
    stages = [_typed([tool_path(stage.command[0]), *stage.command[1:]]) for stage in plan]
    summary = summarise(runs, commands, detector_summary(detectors, runs[0], stages))
    write_json(results, summary)
    print(f"\n{summary_table(summary)}\n\n{results}\ndrawing the page", flush=True)
    write_page(page, summary, runs, detectors=detectors)
    print(f"{page}: open it in a browser")
    return 0


def _train(args: argparse.Namespace, seed: int, place: str) -> int:
    """Run train_net.py, unless the seed is finished.

    The terminal shows its progress bar and errors, but not its log.

    Returns: its exit code.
    """
    folder = args.output / f"seed_{seed}"
    if args.resume and is_finished(args, seed):
        print(f"{place}: finished before, in {folder}")
        return 0
    print(f"{place}: training, log in {folder / 'log.txt'}", flush=True)
    command = [sys.executable, *train_command(args, seed)]
    code = run_child(command, stdout=DEVNULL)
    if code < 0:
        print(f"error: the run of seed {seed} was killed by signal {-code}", file=sys.stderr)
        return 128 - code
    return code


def _train_detectors(plan: Sequence[Stage]) -> int:
    """Run the incomplete stages of the plan, without their logs on the terminal.

    Returns: 0, or the exit code of the stage that failed.
    """
    print(f"detectors, below {plan[0].folder.parent}")
    with _children_silent() as terminal:
        return run_plan(plan, TRAIN_NET.parent, partial(print, file=terminal, flush=True))


@contextmanager
def _children_silent() -> Iterator[TextIO]:
    """Discard the standard output of this process and of programs that it starts.

    Yields: the real standard output.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as terminal, open(os.devnull, "wb") as discarded:
        os.dup2(discarded.fileno(), 1)
        try:
            yield terminal
        finally:
            os.dup2(terminal.fileno(), 1)


def _typed(command: Sequence[str]) -> str:
    """Return a command as a line for a shell, with `python` in place of the interpreter's path."""
    return " ".join(["python", *map(quoted, command)])


def _one_line(run: Run) -> str:
    """Return a line with a seed's CorLoc in percent and the seconds of its phases."""
    corloc = next(iter(run.results["datasets"].values()))["corloc"]
    scores = [f"{label} {corloc[source]:.1f}" for source, label in labels(run.rule).items()]
    seconds = run.results["record"]["seconds"]
    times = ", ".join(f"{phase} {s:.0f} s" for phase, s in seconds.items())
    return f"  CorLoc: {', '.join(scores)} ({times})"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, 2 for a user's mistake, or the exit code of a failed run."""
    kept = "finished runs are kept; the same command with --resume continues from there"
    return run_command(lambda: run_demo(parser().parse_args(argv)), kept)


if __name__ == "__main__":
    sys.exit(main())
