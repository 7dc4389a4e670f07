"""The commands as functions in this process, and preparation that forks share."""

import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tools import (
    contact_sheet,
    demo,
    describe,
    discover,
    edit_labels,
    evaluate,
    export,
    pipeline,
    report,
    self_train,
    train_cad,
    train_net,
)

from .child import run_main
from .family import Try
from .outcomes import Outcome

_TOOLS = (
    *(contact_sheet, demo, describe, discover, edit_labels, evaluate, export, pipeline, report),
    *(self_train, train_cad, train_net),
)
MAINS: dict[str, Callable[[Sequence[str]], int | None]] = {
    tool.__name__.rpartition(".")[2]: tool.main for tool in _TOOLS
}
MINI = ("--method", "lost", "--backbone", "dino_mini", "--num-workers", "0")
# Settings of a training of two steps.
SHORT: dict[str, object] = {
    "SOLVER.MAX_ITER": 2,
    "SOLVER.STEPS": "()",
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "DATALOADER.NUM_WORKERS": 0,
    "REFINE.WARMUP_ITERS": 1,
    "REFINE.REFINE_ITERS": 1,
    "REFINE.RECORD_IMAGES": 1,
    "REFINE.DRIFT.PERIOD": 0,
    "INPUT.SQUARE_SIZE": 64,
    "MODEL.DEVICE": "cpu",
}
SCENES = {
    "DATASETS.TRAIN": "('scenes:train+first=2',)",
    "DATASETS.TEST": "('scenes:val+first=2',)",
}


def settings_of(file: str) -> dict[str, object]:
    """Return the settings for an error-free training of two steps with a shipped configuration."""
    settings = SCENES | {key: value for key, value in SHORT.items() if "REFINE" not in key}
    if "lost_refine" in file:
        return settings | SHORT
    if "cad" in file or "cutler" in file:
        agnostic = {key: str(value).replace("=2'", "=2+agnostic'") for key, value in SCENES.items()}
        return {k: v for k, v in settings.items() if k != "INPUT.SQUARE_SIZE"} | agnostic
    if "pretrain" in file and "found" not in file:
        alone = {"DATASETS.TEST": "()", "SOLVER.IMS_PER_BATCH": 3}
        alone |= {"DATASETS.TRAIN": "('scenes:train+first=3',)", "INPUT.SQUARE_SIZE": 128}
        return (
            settings
            | alone
            | ({"PRETRAIN.INPAINTER.WEIGHTS": "random:0"} if "move" in file else {})
        )
    return settings


def pairs(*settings: dict[str, object]) -> list[str]:
    """Return KEY VALUE words; later settings win."""
    merged: dict[str, object] = {}
    for changes in settings:
        merged |= changes
    return [str(word) for pair in merged.items() for word in pair]


def command(title: str, name: str, argv: Sequence[str]) -> Try:
    """Return the try of one command."""
    words = [str(word) for word in argv]
    return Try(title, lambda: run_main(MAINS[name], words), typed(name, words))


def typed(name: str, argv: Sequence[str]) -> str:
    """Return the command line that a user would type."""
    return f"python tools/{name}.py {shlex.join(map(str, argv))}"


def succeed(name: str, argv: Sequence[object]) -> None:
    """Run a command on valid files, which must succeed. Raises: RuntimeError if it fails."""
    if code := MAINS[name]([str(word) for word in argv]):
        raise RuntimeError(f"{typed(name, [str(word) for word in argv])} ended with {code}")


def aside(act: Callable[[], None], log: Path) -> None:
    """Run `act` in a fork; then import in this process the modules that it imported.

    Threads, loggers and settings of `act` stay in the fork.

    Args: log: file for the output of `act`; its end is in the error message.
    Raises: RuntimeError if `act` fails.
    """
    before, names = set(sys.modules), log.with_suffix(".modules")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            act()
            names.write_text(json.dumps([n for n in sys.modules if n not in before]))
            code = 0
        except BaseException as error:  # noqa: BLE001 - the parent reports it
            print(f"{type(error).__name__}: {error}", flush=True)
        finally:
            sys.stdout.flush()
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError(f"cannot make valid files: {log.read_text()[-2000:]}")
    for name in json.loads(names.read_text()):
        with suppress(Exception):
            importlib.import_module(name)


def checked(tried: Try, check: Callable[[], str]) -> Try:
    """Return a try with one more check: a message of `check` after success is a wrong result."""

    def act() -> Outcome:
        outcome = tried.act()
        if outcome.kind == "ok" and (wrong := check()):
            return Outcome("wrong result", wrong)
        return outcome

    return Try(tried.title, act, tried.command)
