"""Runs the stages of a plan that are not done yet, and remembers what each was done from."""

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
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.files.shipped import find_config

from .child import run_child
from .plan import Stage

RECORDS = ".stages"  # one file a stage, in the folder that holds the stages' folders
STARTED, DONE = "started", "done"
_CONFIG = "--config-file"


def run_plan(
    stages: Sequence[Stage],
    tools: Path,
    say: Callable[[str], None],
    check: Callable[[Stage], None] = lambda stage: None,
) -> int:
    """Runs each stage in order; one that is done with the same command and the same inputs is passed over.

    A stage that was interrupted is started again in its folder, where the tools go on by themselves; one whose
    command or inputs have changed starts with an empty folder. A stage that outlived its pipeline is waited for.

    Args: tools: the folder of the commands.  say: is told of each stage, in a line.  check: is asked about each stage
        before the first one runs, and raises what is wrong with it. A stage whose configuration an earlier stage makes
        is checked when it begins.
    Returns: 0, or the exit code of the stage that failed.
    Raises: UserError for a tool or an input that is not there, a folder that belongs to something else or cannot be
        written, and a stage that did not make what it promised.
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
        _remember(stage, "", STARTED)  # what is left of it, if this is interrupted, is no result
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


@contextmanager
def _alone(root: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Holds the folder of the stages' folders; yields the descriptor by which a stage holds it, too."""
    _make_folder(root / RECORDS)
    with (root / RECORDS / "lock").open("w") as file:
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
    """A folder that is not empty is that of a stage that ran before; nobody else's."""
    folder = stage.folder
    if _record(stage).is_file() or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(
            f"stage {stage.name!r} writes to {folder}, which holds files that it did not make; name another 'folder'"
        )


def _check_inputs(stage: Stage, earlier: Sequence[Stage], stages: Sequence[Stage]) -> None:
    """Refuse an input that no earlier stage makes if it is not there, or is in the folder of a stage, which may be emptied."""
    for path in (*_configurations(stage.command), *stage.inputs):
        if _is_below(path, earlier):
            continue
        if _is_below(path, stages):
            raise UserError(
                f"stage {stage.name!r} reads {path}, which is in the folder of a stage and would be removed with it; move it"
            )
        if not os.path.exists(path):
            raise UserError(_missing(path, stage.name))


def _is_below(path: Path, stages: Iterable[Stage]) -> bool:
    """Whether a path leads into the folder of one of the stages."""
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
    """How far the stage came with these inputs; None if it never began with them."""
    try:
        record = json.loads(_record(stage).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("fingerprint") != fingerprint:
        return None
    whole = all(os.path.exists(stage.folder / name) for name in stage.makes)
    return DONE if record.get("state") == DONE and whole else STARTED


def _remember(stage: Stage, fingerprint: str, state: str) -> None:
    record = {"command": list(stage.command), "fingerprint": fingerprint, "state": state}
    with atomic_text_file(_record(stage)) as file:
        json.dump(record, file, indent=1)


def _fingerprint(stage: Stage, needed: Iterable[Stage]) -> str:
    """SHA-256 over the command, the configurations it names, and every file it reads."""
    digest = hashlib.sha256(json.dumps([list(stage.command), list(stage.makes)]).encode())
    made = [other.folder / name for other in needed for name in other.makes]
    for path in (*_configurations(stage.command), *stage.inputs, *made):
        digest.update(str(path).encode())
        digest.update(_content(path, stage.name))
    return digest.hexdigest()


def _content(path: Path, stage: str) -> bytes:
    """A file's SHA-256; of a folder that of its files' names, sizes and times."""
    if os.path.isdir(path):
        files = sorted(p for p in path.rglob("*") if p.is_file())
        facts = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return hashlib.sha256(json.dumps(facts).encode()).digest()
    if not os.path.isfile(path):
        raise UserError(_missing(path, stage))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _configurations(command: Sequence[str]) -> Iterator[Path]:
    """The file after --config-file, which may be one that ships, with those it is based on.

    Some of them may not be there yet, since an earlier stage makes them. Of one that cannot be read, only the files that
    are read before that are here: its command says why.
    """
    named = [word for flag, word in zip(command, command[1:]) if flag == _CONFIG]
    named += [word.partition("=")[2] for word in command if word.startswith(f"{_CONFIG}=")]
    for name in named:
        try:
            path = find_config(name)
        except UserError:
            path = user_path(name)
        yield from config_files(path)
