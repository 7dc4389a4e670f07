"""Interrupted runs.

Signals, the death of a worker, a removed folder or changed images interrupt a run.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import torch

from . import label_files
from .child import become
from .commands import MAINS, SCENES, SHORT, aside, pairs, succeed, typed
from .family import Family, Try
from .outcomes import HANG, PROCESS, WRONG, Outcome, judge
from .sandbox import Sandbox
from .sessions import end_session, members

ROOT = Path(__file__).parents[1]
# Seconds after a command's end in which its processes must end; a loader's worker checks every 5 s.
_END = 10.0
_MOST = 150.0  # time limit of one run in seconds
_IMAGES = 12
_PIPELINE = """\
folder: {out}
stages:
  - name: labels
    run: >-
      discover.py --method lost --backbone dino_mini --num-workers 0 --batch-size 1
      --data scenes:val+first=4 --output {{here}}/labels.json
    makes: labels.json
  - name: scores
    run: evaluate.py --gt scenes:val+first=4 --pred {{labels}}/labels.json --metrics corloc \
--json {{here}}/scores.json
    makes: scores.json
"""


@dataclass(frozen=True)
class Job:
    """A command that can be interrupted and started again.

    Attributes:
        name: name of the command.
        argv: makes the arguments for a sandbox.
        again: arguments to add for the second start.
        result: reads the result, which an interruption must not change, from the output directory.
    """

    name: str
    argv: Callable[[Sandbox], list[str]]
    again: tuple[str, ...]
    result: Callable[[Path], Any]


def _discover(box: Sandbox) -> list[str]:
    rule = ["--method", "tokencut", "--backbone", "dino_mini"]
    rule += ["--num-workers", "2", "--batch-size", "1"]
    return [
        *rule,
        "--data",
        f"scenes:val+first={_IMAGES}",
        "--output",
        str(box.out / "o" / "o.json"),
    ]


def _train(box: Sandbox) -> list[str]:
    steps = {
        "SOLVER.MAX_ITER": 12,
        "REFINE.WARMUP_ITERS": 4,
        "REFINE.REFINE_ITERS": 4,
        "SOLVER.CHECKPOINT_PERIOD": 3,
    }
    run = {"DATALOADER.NUM_WORKERS": 1, "OUTPUT_DIR": box.out / "o"}
    return ["--config-file", "configs/demo/lost_refine.yaml", *pairs(SCENES, SHORT, steps, run)]


def _weights(out: Path) -> Any:
    content = torch.load(out / "o" / "model_final.pth", weights_only=True)["model"]
    return {key: value.double().sum().item() for key, value in content.items()}


def _same_bytes(*names: str) -> Callable[[Path], Any]:
    return lambda out: [(out / "o" / name).read_bytes() for name in names]


class Processes(Family):
    """A run that is interrupted once and then started again."""

    name = "processes"
    description = (
        "SIGKILL, SIGTERM and SIGINT at random moments of `discover`, `train_net`, `train_cad` and "
        "`pipeline`, a killed worker, a removed output directory, replaced images: the command "
        "prints one line, has the right exit code and leaves no process, and the same command "
        "afterwards gives the result of an uninterrupted run"
    )
    share = 3.0
    limit = 600.0

    def prepare(self, folder: Path) -> None:
        """Measure the result and the duration of each command without an interruption."""
        self._labels = folder / "labels.json"
        self._jobs = {
            "discover": Job("discover", _discover, (), _same_bytes("o.json")),
            "train_net": Job("train_net", _train, ("--resume",), _weights),
            "train_cad": Job("train_cad", self._train_cad, ("--resume",), _weights),
            "pipeline": Job(
                "pipeline",
                self._pipeline,
                (),
                _same_bytes("labels/labels.json", "scores/scores.json"),
            ),
        }
        self._wanted: dict[str, Any] = {}
        self._seconds: dict[str, float] = {}
        words = ["--method", "lost", "--backbone", "dino_mini", "--num-workers", "0"]
        words += ["--output", self._labels]
        aside(
            lambda: succeed("discover", [*words, "--data", "scenes:train+first=2"]),
            folder / "0.txt",
        )
        for name, job in self._jobs.items():
            box = Sandbox(folder / name)
            start = monotonic()
            aside(lambda job=job, box=box: succeed(job.name, job.argv(box)), folder / f"{name}.txt")
            self._seconds[name] = monotonic() - start
            self._wanted[name] = job.result(box.out)

    def _train_cad(self, box: Sandbox) -> list[str]:
        data = {"DATASETS.TRAIN": f"('scenes:train+first=2+pseudo={self._labels}',)"}
        steps = {"SOLVER.MAX_ITER": 6, "SOLVER.CHECKPOINT_PERIOD": 2, "OUTPUT_DIR": box.out / "o"}
        known = {k: v for k, v in SHORT.items() if "REFINE" not in k and k != "INPUT.SQUARE_SIZE"}
        return ["--config-file", "configs/demo/cad.yaml", *pairs(SCENES, known, steps, data)]

    def _pipeline(self, box: Sandbox) -> list[str]:
        path = box.given / "p.yaml"
        path.write_text(_PIPELINE.format(out=box.out / "o"))
        return [str(path)]

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one command, one interruption and one moment."""
        # weights of discover, pipeline, train_cad, train_net
        [name] = draw.choices(sorted(self._jobs), (4, 1, 2, 2))
        job = self._jobs[name]
        kinds = [
            "SIGKILL",
            "SIGTERM",
            "SIGINT",
            "SIGINT to all",
            "a worker killed",
            "output folder removed",
        ]
        kind = draw.choice([*kinds, "an image replaced"] if name == "discover" else kinds)
        argv = job.argv(box)
        if kind == "an image replaced":
            label_files.write_images(box.given / "images")
            for number in range(30):
                shutil.copyfile(
                    box.given / "images" / "a.jpg", box.given / "images" / f"{number}.jpg"
                )
            argv[argv.index("--data") + 1] = f"folder:{box.given / 'images'}"
        as_program = draw.random() < 0.1  # a new interpreter, interrupted also during its imports
        moment = draw.uniform(0, 1.1 * self._seconds[name] + (8 if as_program else 0))
        run = _Interrupted(job, argv, box, self._wanted[name], as_program)
        title = f"{kind} of {name} after {moment:.2f} s{' as a program' if as_program else ''}"
        return Try(title, lambda: run(kind, moment, draw), typed(name, argv))


class _Interrupted:
    """Runner that interrupts a command, judges its end, and runs it again."""

    def __init__(self, job: Job, argv: list[str], box: Sandbox, wanted: Any, as_program: bool):
        self.job, self.argv, self.box, self.wanted = job, argv, box, wanted
        self.as_program = as_program

    def __call__(self, kind: str, moment: float, draw: random.Random) -> Outcome:
        """Return the outcome of the interrupted run and of the second run."""
        log = self.box.log / "first.txt"
        pid = self._start(self.argv, log)
        sleep(moment)
        self._interrupt(pid, kind, draw)
        code = _wait(pid, _MOST)
        left = end_session(pid, _END)
        text = log.read_text(errors="replace")
        if code is None:
            return Outcome(HANG, f"after {kind}: {_last(text)}")
        if left:
            return Outcome(PROCESS, f"after {kind}, code {code}: {', '.join(left[:2])}"[:300])
        if wrong := _wrong_end(kind, code, text, 2 if self.job.name == "pipeline" else 1):
            return wrong
        if kind == "an image replaced":
            return Outcome("ok", f"code {code}: {_last(text)}")
        return self._again(kind)

    def _again(self, kind: str) -> Outcome:
        log = self.box.log / "second.txt"
        code = _wait(self._start([*self.job.again, *self.argv], log), _MOST)
        text = log.read_text(errors="replace")
        if code is None:
            return Outcome(HANG, f"the command after {kind}: {_last(text)}")
        if code:
            return Outcome(WRONG, f"after {kind} the same command ends with {code}: {_last(text)}")
        if self.job.result(self.box.out) != self.wanted:
            return Outcome(WRONG, f"after {kind} the same command has another result")
        return Outcome("ok", f"the same result after {kind}")

    def _interrupt(self, pid: int, kind: str, draw: random.Random) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if kind == "SIGINT to all":
                os.killpg(pid, signal.SIGINT)
            elif kind.startswith("SIG"):
                os.kill(pid, getattr(signal, kind))
            elif kind == "a worker killed":
                workers = sorted(members(pid).keys() - {pid})
                if workers:
                    os.kill(draw.choice(workers), signal.SIGKILL)
            elif kind == "output folder removed":
                shutil.rmtree(self.box.out / "o", ignore_errors=True)
            else:
                for path in sorted((self.box.given / "images").glob("*.jpg")):
                    if draw.random() < 0.5:
                        path.write_bytes(draw.choice((b"", path.read_bytes()[:300], b"text")))
                self.box.remember()  # the harness made these changes

    def _start(self, argv: list[str], log: Path) -> int:
        """Start the command in a session of its own; return its process id, also the session's."""
        if self.as_program:
            with log.open("wb") as file:
                command = [sys.executable, str(ROOT / "tools" / f"{self.job.name}.py"), *argv]
                return subprocess.Popen(
                    command, stdout=file, stderr=file, start_new_session=True
                ).pid
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            become(lambda: MAINS[self.job.name](argv), log)
        return pid


def _wrong_end(kind: str, code: int, text: str, speakers: int = 1) -> Outcome | None:
    """Return the fault in the end of an interrupted command; None if its end is right.

    Exit code 0 is right, because the command may have finished before the interruption.

    Args: speakers: number of processes that may report the interruption.
    """
    allowed = {
        "SIGKILL": (0, -signal.SIGKILL),
        "SIGTERM": (0, -signal.SIGTERM, 128 + signal.SIGTERM),
        "SIGINT": (0, 130, -signal.SIGINT),
        "SIGINT to all": (0, 130, -signal.SIGINT),
    }.get(kind, (0, 2))
    outcome = judge(2 if code == 2 else 0, text)
    if outcome.failed:
        return Outcome(outcome.kind, f"{outcome.detail} (after {kind}, code {code})")
    if code not in allowed:
        return Outcome("wrong exit code", f"{code} after {kind}: {_last(text)}")
    if code > 128 and not 1 <= text.count("interrupted") <= speakers:
        return Outcome("not one line", f"{code} after {kind}: {_last(text)}")
    return None


def _wait(pid: int, most: float) -> int | None:
    """Return a child's exit code, or the negative number of the signal that killed it.

    After `most` seconds the child's session is killed, and the result is None.
    """
    end = monotonic() + most
    while monotonic() < end:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        sleep(0.02)
    end_session(pid, 0)
    os.waitpid(pid, 0)
    return None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"
