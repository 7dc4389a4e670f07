"""A configuration file with the files that it is based on, read as data.

`_BASE_` names one file or a list of them, relative to the file that names it; what a file states itself counts.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from boxrefine_d2.errors import UserError

from .names import can_be_path, user_path
from .safe_yaml import read_yaml

BASE = "_BASE_"
_WHAT = "configuration file"
_MAX_FILES = 50  # with all bases, each as often as it is named
_SHOWN = 200  # characters of what is quoted

Content = dict[str, Any]


def read_config(path: str | os.PathLike[str]) -> Content:
    """Return what a configuration file and its bases state together, section -> key -> value.

    Raises: UserError for a file that `safe_yaml.read_yaml` refuses, one that is no mapping with texts as keys, a base
        that is not there or leads back to a file on the way to it, and a section that is a value in a base.
    """
    return _Reading().content(Path(path), ())


def config_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files that `read_config` reads, each once, the named one first.

    Where it raises, these are the files up to that point; the last one may be a file that is not there.
    """
    reading = _Reading()
    with suppress(UserError):
        reading.content(Path(path), ())
    return list(dict.fromkeys(reading.files))


@dataclass
class _Reading:
    """One reading. Attributes: files: those read so far."""

    files: list[Path] = field(default_factory=list)

    def content(self, path: Path, way: tuple[Path, ...]) -> Content:
        """`read_config`. Args: way: from the file that was named to the one whose base this is."""
        self.files.append(path)
        if len(self.files) > _MAX_FILES:
            _refuse(self.files[0], f"it has more than {_MAX_FILES} bases")
        own = _mapping(path)
        named = own.pop(BASE, [])
        merged: Content = {}
        for base in _bases(named, path):
            if os.path.realpath(base) in map(os.path.realpath, (*way, path)):
                _refuse(path, f"its {BASE} {str(base)[:_SHOWN]!r} is based on it in turn")
            if not os.path.lexists(base):
                self.files.append(base)
                _refuse(path, f"its {BASE} {str(base)[:_SHOWN]!r} does not exist")
            _merge(self.content(base, (*way, path)), merged, path, "")
        _merge(own, merged, path, "")
        return merged


def _mapping(path: Path) -> Content:
    content = read_yaml(path, _WHAT)
    if content is None:
        _refuse(path, "it is empty")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"{str(content)[:_SHOWN]!r}"
        _refuse(path, f"it holds no KEY: VALUE lines but {kind}")
    mapping: Content = _unshared(content, path)
    return mapping


def _unshared(value: Any, path: Path) -> Any:
    """A copy in which no two parts are one object, as aliases make them: a change of one would change both."""
    if isinstance(value, list):
        return [_unshared(part, path) for part in value]
    if not isinstance(value, dict):
        return value
    for key in value:
        if not isinstance(key, str):
            _refuse(path, f"the key {str(key)[:_SHOWN]!r} is no text")
    return {key: _unshared(part, path) for key, part in value.items()}


def _bases(named: Any, path: Path) -> list[Path]:
    names = named if isinstance(named, list) else [named]
    for name in names:
        if not isinstance(name, str) or not name or not can_be_path(name):
            _refuse(path, f"{BASE} {str(named)[:_SHOWN]!r}: name a file or a list of files")
        if "://" in name:
            _refuse(path, f"{BASE} {name[:_SHOWN]!r} is an address; fetch it and name the file")
    return [path.parent / user_path(name) for name in names]


def _merge(own: Content, into: Content, path: Path, prefix: str) -> None:
    """Write what a file states itself over what its bases state."""
    for key, value in own.items():
        if isinstance(value, dict) and key in into:
            if not isinstance(into[key], dict):
                _refuse(path, f"{prefix}{key} is a section here and a value in a base")
            _merge(value, into[key], path, f"{prefix}{key}.")
        else:
            into[key] = value


def _refuse(path: Path, reason: str) -> NoReturn:
    raise UserError(f"{_WHAT} {str(path)!r}: {reason}")
