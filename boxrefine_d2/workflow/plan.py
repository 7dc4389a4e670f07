"""Plan of a pipeline: stages, each a command that a user could type, in a folder of its own.

    folder: output/lost_cad                 # all stages write below it
    set: {data: "scenes:train"}             # values that the command line may change
    stages:
      - name: labels
        run: discover.py --method lost --data {data} --output {here}/labels.json
        makes: [labels.json]
      - name: cad
        run: train_cad.py --config-file configs/demo/cad.yaml --resume
             DATASETS.TRAIN '("{data}+pseudo={labels}/labels.json",)' OUTPUT_DIR {here}
        makes: [model_final.pth, results.json]

In a command, {here} stands for the stage's folder. {NAME} stands for the folder of an earlier
stage, whose files thereby become inputs. Other words in braces stand for the values of `set`. A
command is
split into words like a shell command before values are filled in: each value stays one word.
    `inputs` lists further files that a command reads.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import can_be_path, user_path
from boxrefine_d2.files.safe_yaml import read_yaml
from boxrefine_d2.files.values import shown_value

_NAME = re.compile(r"[A-Za-z][\w-]{0,99}")
_SHOWN = 200  # most characters of a quotation in a message
_BRACES = re.compile(r"\{([\w-]+)\}")
_PARTS = {"folder", "set", "stages"}
_KEYS = {"name", "run", "makes", "inputs"}


@dataclass(frozen=True)
class Stage:
    """One command of a pipeline.

    Attributes:
        name: name of the stage and of its folder.
        command: words of the command, the tool's file name first.
        folder: output directory.
        makes: files below `folder`; the stage is complete when they exist.
        needs: names of the earlier stages whose files the command reads.
        inputs: further files that the command reads.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    makes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = field(default=())


def plan_of_file(path: Path, changes: Mapping[str, str]) -> list[Stage]:
    """Return the stages of a YAML file.

    Args: changes: new values for names in `set`, and for `folder`.
    Raises: UserError for a file that is not a pipeline, or that describes an impossible one.
    """
    content = read_yaml(path, "pipeline file")
    if not isinstance(content, dict) or not {"folder", "stages"} <= set(content) <= _PARTS:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        keys = keys[:_SHOWN]
        raise UserError(
            f"{path}: a pipeline has 'folder' and 'stages', and perhaps 'set'; there is {keys}"
        )
    values = {**_values(content.get("set") or {}, path), "folder": str(content["folder"] or "")}
    unknown = set(changes) - set(values)
    if unknown:
        raise UserError(f"{path} has no value {min(unknown)!r}; it has {', '.join(sorted(values))}")
    values |= changes
    folder = values.pop("folder")
    if not folder:
        raise UserError(f"{path}: 'folder' is empty; name the folder that the stages write to")
    return plan_of_stages(content["stages"], user_path(folder), values, str(path))


def _values(entries: Any, path: Path) -> dict[str, str]:
    """Return the entries of `set` as words of a command."""
    if not isinstance(entries, dict):
        raise UserError(f"{path}: 'set' is a mapping, NAME: VALUE, not {shown_value(entries)}")
    for name, value in entries.items():
        if not _NAME.fullmatch(str(name)) or name in ("here", "folder"):
            raise UserError(
                f"{path}: a value cannot be called {name!r}; use letters, digits, - and _, but not "
                "'here' or 'folder'"
            )
        if not isinstance(value, str | int | float):
            raise UserError(
                f"{path}: the value {name!r} is text or a number, not {shown_value(value)}"
            )
    return {str(name): str(value) for name, value in entries.items()}


def plan_of_stages(
    entries: Sequence[Mapping[str, Any]], folder: Path, values: Mapping[str, str], where: str
) -> list[Stage]:
    """Return the stages described by the entries of a file's list `stages`.

    Args: folder: folder of the stages' folders.  values: values for words in braces.
        where: the file, for messages.
    Raises: UserError for an impossible entry; see `plan_of_file`.
    """
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{where}: 'stages' is a list of at least one stage")
    if {"+", ":"} & set(str(folder)):
        raise UserError(f"{where}: folder {folder}: no + or :, which are signs of dataset specs")
    stages: list[Stage] = []
    for entry in entries:
        stages.append(_stage(entry, folder, dict(values), stages, where))
    return stages


def _stage(
    entry: Any, root: Path, values: dict[str, str], earlier: list[Stage], where: str
) -> Stage:
    if not isinstance(entry, Mapping) or not {"name", "run", "makes"} <= set(entry) <= _KEYS:
        raise UserError(
            f"{where}: a stage has 'name', 'run' and 'makes', and perhaps 'inputs', not "
            f"{shown_value(entry)}"
        )
    name, run = str(entry["name"]), str(entry["run"])
    if not _NAME.fullmatch(name) or name in (*values, "here", *(stage.name for stage in earlier)):
        raise UserError(
            f"{where}: a stage cannot be called {str(name)[:_SHOWN]!r}; use letters, digits, - and "
            "_, and no name twice"
        )
    folders = {stage.name: str(stage.folder) for stage in earlier}
    known = values | folders | {"here": str(root / name)}
    inputs = _several(entry.get("inputs") or [])
    used = _BRACES.findall(" ".join([run, *inputs]))
    unknown = [word for word in used if word not in known]
    if unknown:
        raise UserError(
            f"{where}: stage {name!r} has {{{unknown[0]}}}, which is neither a value nor an "
            f"earlier stage; known: {', '.join(known)}"
        )
    command = tuple(_filled(word, known) for word in _words(run, name, where))
    makes = _makes(entry["makes"], name, where)
    inputs = tuple(_filled(path, known) for path in inputs)
    wrong = [word for word in (*command, *makes, *inputs) if not can_be_path(word)]
    if wrong:
        raise UserError(
            f"{where}: stage {name!r}: {wrong[0][:_SHOWN]!r} has a character that no path and no "
            "command can have; remove it"
        )
    return Stage(
        name=name,
        command=command,
        folder=root / name,
        makes=makes,
        needs=tuple(word for word in dict.fromkeys(used) if word in folders),
        inputs=tuple(map(Path, inputs)),
    )


def _several(entry: Any) -> tuple[str, ...]:
    """Return the names in a list, or the single name given instead of a list."""
    return tuple(map(str, entry if isinstance(entry, list) else [entry]))


def _makes(entry: Any, name: str, where: str) -> tuple[str, ...]:
    makes = _several(entry or [])
    wrong = [x for x in makes if not x or _BRACES.search(x) or Path(x).is_absolute()]
    if wrong or not makes:
        raise UserError(
            f"{where}: stage {name!r}: 'makes' {shown_value(entry)}: name at least one file, by "
            "its path below the stage's folder"
        )
    return makes


def _words(run: str, name: str, where: str) -> list[str]:
    try:
        words = shlex.split(run)
    except ValueError as error:
        raise UserError(f"{where}: stage {name!r}: {error} in {run[:_SHOWN]!r}") from error
    if not words or not words[0].endswith(".py"):
        raise UserError(
            f"{where}: stage {name!r} must run a tool, such as discover.py, not {run[:_SHOWN]!r}"
        )
    return words


def _filled(word: str, known: Mapping[str, str]) -> str:
    return _BRACES.sub(lambda match: known.get(match[1], match[0]), word)
