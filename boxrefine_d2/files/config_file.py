"""A configuration file together with the files that it is based on, read as data.

`_BASE_` names one file or a list of files, relative to the file that names them. The values of a
file replace those of its bases.
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
_KIND = "configuration file"
_MAX_FILES = 50  # including all bases, each as often as it is named
_SHOWN = 200  # longest quotation in a message, in characters

Content = dict[str, Any]


def read_config(path: str | os.PathLike[str]) -> Content:
    """Return the merged content of a configuration file and its bases, section -> key -> value.

    Raises: UserError for a file that `safe_yaml.read_yaml` refuses, a file that is no mapping with
        texts as keys, a base that does not exist or leads back to a file based on it, and a section
        that is a value in a base.
    """
    return _Reading().content(Path(path), ())


def config_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files that `read_config` reads, each once, the named file first.

    If `read_config` raises, the list ends at the faulty file; that file may not exist.
    """
    reading = _Reading()
    with suppress(UserError):
        reading.content(Path(path), ())
    return list(dict.fromkeys(reading.files))


@dataclass
class _Reading:
    """One reading of a configuration file.

    Attributes: files: the files read so far.
    """

    files: list[Path] = field(default_factory=list)

    def content(self, path: Path, path_to_base: tuple[Path, ...]) -> Content:
        """Return the merged content of a file and its bases; see `read_config`.

        Args: path_to_base: files from the one that the user named to the one that names this base.
        """
        self.files.append(path)
        if len(self.files) > _MAX_FILES:
            _refuse(self.files[0], f"it has more than {_MAX_FILES} bases")
        own = _mapping(path)
        bases = own.pop(BASE, [])
        merged: Content = {}
        for base in _bases(bases, path):
            if os.path.realpath(base) in map(os.path.realpath, (*path_to_base, path)):
                _refuse(path, f"its {BASE} {str(base)[:_SHOWN]!r} is based on this file")
            if not os.path.lexists(base):
                self.files.append(base)
                _refuse(path, f"its {BASE} {str(base)[:_SHOWN]!r} does not exist")
            _merge(self.content(base, (*path_to_base, path)), merged, path, "")
        _merge(own, merged, path, "")
        return merged


def _mapping(path: Path) -> Content:
    content = read_yaml(path, _KIND)
    if content is None:
        _refuse(path, "it is empty")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"{str(content)[:_SHOWN]!r}"
        _refuse(path, f"it holds no KEY: VALUE lines but {kind}")
    mapping: Content = _unshared(content, path)
    return mapping


def _unshared(value: Any, path: Path) -> Any:
    """Return a copy without shared parts, because a change of a YAML alias would change both."""
    if isinstance(value, list):
        return [_unshared(part, path) for part in value]
    if not isinstance(value, dict):
        return value
    for key in value:
        if not isinstance(key, str):
            _refuse(path, f"the key {str(key)[:_SHOWN]!r} is no text")
    return {key: _unshared(part, path) for key, part in value.items()}


def _bases(bases: Any, path: Path) -> list[Path]:
    names = bases if isinstance(bases, list) else [bases]
    for name in names:
        if not isinstance(name, str) or not name or not can_be_path(name):
            _refuse(path, f"{BASE} {str(bases)[:_SHOWN]!r}: name a file or a list of files")
        if "://" in name:
            _refuse(path, f"{BASE} {name[:_SHOWN]!r} is an address; fetch it and name the file")
    return [path.parent / user_path(name) for name in names]


def _merge(own: Content, into: Content, path: Path, prefix: str) -> None:
    """Write the values of a file over those of its bases."""
    for key, value in own.items():
        if isinstance(value, dict) and key in into:
            if not isinstance(into[key], dict):
                _refuse(path, f"{prefix}{key} is a section here and a value in a base")
            _merge(value, into[key], path, f"{prefix}{key}.")
        else:
            into[key] = value


def _refuse(path: Path, reason: str) -> NoReturn:
    raise UserError(f"{_KIND} {str(path)!r}: {reason}")
