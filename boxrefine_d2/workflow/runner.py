"""Runner of a plan: it runs the incomplete stages, and records what each stage was made from."""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.config_file import config_files
from boxrefine_d2.files.locks import is_held
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.files.shipped import find_config

from .child import run_child
from .plan import Stage

RECORDS = ".stages"  # folder of one record per stage, beside the stages' folders
_LOCK = "lock"
STARTED, DONE = "started", "done"
_CONFIG = "--config-file"


def run_plan(
    stages: Sequence[Stage],
    tools: Path,
    say: Callable[[str], None],
    check: Callable[[Stage], None] = lambda stage: None,
    inspect: Callable[[Stage], None] = lambda stage: None,
) -> int:
    """Run each stage in order; skip completed stages whose command and inputs are unchanged.

    An interrupted stage runs again in its folder, where its tool continues by itself. A stage whose
    command or inputs have changed starts with an empty folder. If a stage of an earlier pipeline is
    still running, the call waits for it.

    Args:
        tools: folder of the commands.
        say: function that receives one line about each stage.
        check: function that is called with each stage before the first one runs, and raises
            UserError for a faulty one. If an earlier stage makes the configuration of a stage, the
            check of that stage waits until it begins.
        inspect: function that is called with each stage just before it begins, when all earlier
            stages are complete, and raises UserError for files that it cannot use.
    Returns: 0, or the exit code of the stage that failed.
    Raises: UserError for a missing tool or input, a folder that cannot be written or holds other
        files, and a stage that did not make the files that it lists.
    """
    for stage in stages:
        _check_tool(stage, tools)
    check_output_folder(stages[0].folder.parent, flag="folder")
    checked_later = []
    for number, stage in enumerate(stages):
        _check_folder(stage)
        _check_inputs(stage, stages[:number], stages)
        if any(_is_below(path, stages[:number]) for path in _configurations(stage.command)):
            checked_later.append(stage)
        else:
            check(stage)
    with _alone(stages[0].folder.parent, say) as lock:
        for number, stage in enumerate(stages, start=1):
            if stage in checked_later:
                check(stage)
            inspect(stage)
            needed = [other for other in stages if other.name in stage.needs]
            place = f"stage {stage.name} ({number} of {len(stages)})"
            code = _run_stage(stage, needed, tools, place, say, lock)
            if code:
                return code
    return 0


def _run_stage(
    stage: Stage,
    needed: Iterable[Stage],
    tools: Path,
    place: str,
    say: Callable[[str], None],
    lock: int,
) -> int:
    fingerprint = _fingerprint(stage, needed)
    state = _state(stage, fingerprint)
    if state == DONE:
        say(f"{place}: done before, in {stage.folder}")
        return 0
    if state is None and stage.folder.exists():
        _remember(stage, "", STARTED)  # after an interruption here, the remains are no result
        shutil.rmtree(stage.folder)
    _make_folder(stage.folder)
    _remember(stage, fingerprint, STARTED)
    say(f"{place}: {'goes on' if state else 'starts'}: python {shlex.join(stage.command)}")
    command = [sys.executable, str(tools / stage.command[0]), *stage.command[1:]]
    code = run_child(command, pass_fds=[lock])
    if code:
        say(f"{place} failed with exit code {code}; the same command goes on from here")
        return code if code > 0 else 128 - code
    missing = [name for name in stage.makes if not os.path.exists(stage.folder / name)]
    if missing:
        raise UserError(f"{place} ended well and made no {missing[0]}; correct its 'makes'")
    _remember(stage, fingerprint, DONE)
    return 0


def is_at_work(root: Path) -> bool:
    """Return True if a pipeline, or a stage of one, works in the folder of stage folders."""
    return is_held(root / RECORDS / _LOCK)


@contextmanager
def _alone(root: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Lock the folder of the stages' folders.

    Yields: the lock's file descriptor; a stage that inherits it holds the lock, too.
    """
    _make_folder(root / RECORDS)
    with (root / RECORDS / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for the pipeline, or the stage of one, that is at work in {root}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _check_tool(stage: Stage, tools: Path) -> None:
    if not os.path.isfile(tools / stage.command[0]):
        known = ", ".join(sorted(path.name for path in tools.glob("*.py")))
        raise UserError(
            f"stage {stage.name!r}: there is no tool {stage.command[0]}; known: {known}"
        )


def _check_folder(stage: Stage) -> None:
    """Refuse a folder that is not empty and in which this stage never ran."""
    folder = stage.folder
    if _record(stage).is_file() or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(
            f"stage {stage.name!r} writes to {folder}, which holds files that it did not make; "
            "name another 'folder'"
        )


def _check_inputs(stage: Stage, earlier: Sequence[Stage], stages: Sequence[Stage]) -> None:
    """Refuse inputs that are missing, or that lie in the folder of a stage, which may be emptied.

    Inputs that an earlier stage makes are not checked.
    """
    for path in (*_configurations(stage.command), *stage.inputs):
        if _is_below(path, earlier):
            continue
        if _is_below(path, stages):
            raise UserError(
                f"stage {stage.name!r} reads {path}, which is in the folder of a stage and would "
                "be removed with it; move it"
            )
        if not os.path.exists(path):
            raise UserError(_missing(path, stage.name))


def _is_below(path: Path, stages: Iterable[Stage]) -> bool:
    """Return True if a path leads into the folder of one of the stages."""
    place = Path(os.path.realpath(path))
    return any(place.is_relative_to(os.path.realpath(stage.folder)) for stage in stages)


def _missing(path: Path, stage: str) -> str:
    return f"stage {stage!r} reads {path}, which is not there"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; name another 'folder'") from error


def _record(stage: Stage) -> Path:
    return stage.folder.parent / RECORDS / f"{stage.name}.json"


def _state(stage: Stage, fingerprint: str) -> str | None:
    """Return the state that the stage reached with these inputs; None if it never began."""
    try:
        record = json.loads(_record(stage).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("fingerprint") != fingerprint:
        return None
    complete = all(os.path.exists(stage.folder / name) for name in stage.makes)
    return DONE if record.get("state") == DONE and complete else STARTED


def _remember(stage: Stage, fingerprint: str, state: str) -> None:
    record = {"command": list(stage.command), "fingerprint": fingerprint, "state": state}
    with atomic_text_file(_record(stage)) as file:
        json.dump(record, file, indent=1)


def _fingerprint(stage: Stage, needed: Iterable[Stage]) -> str:
    """Return the SHA-256 over the command, its configurations and every file that it reads."""
    digest = hashlib.sha256(json.dumps([list(stage.command), list(stage.makes)]).encode())
    made = [other.folder / name for other in needed for name in other.makes]
    for path in (*_configurations(stage.command), *stage.inputs, *made):
        digest.update(str(path).encode())
        digest.update(_content(path, stage.name))
    return digest.hexdigest()


def _content(path: Path, stage: str) -> bytes:
    """Return the SHA-256 of a file's bytes, or of the names, sizes and times in a folder.

    Raises: UserError if the path does not exist.
    """
    if os.path.isdir(path):
        files = sorted(p for p in path.rglob("*") if p.is_file())
        facts = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return hashlib.sha256(json.dumps(facts).encode()).digest()
    if not os.path.isfile(path):
        raise UserError(_missing(path, stage))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _configurations(command: Sequence[str]) -> Iterator[Path]:
    """Yield the configuration files of a command: those after --config-file, and their bases.

    A file may be one that ships. It may not exist yet, if an earlier stage makes it. After a file
    that cannot be read, no further one is yielded; the command itself reports the reason.
    """
    named = [word for flag, word in zip(command, command[1:]) if flag == _CONFIG]
    named += [word.partition("=")[2] for word in command if word.startswith(f"{_CONFIG}=")]
    for name in named:
        try:
            path = find_config(name)
        except UserError:
            path = user_path(name)
        yield from config_files(path)
