"""Record of a command of stages in its output directory, so that no other one replaces results."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError
from boxrefine_d2.files import inputs
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.values import is_whole


def settle_record(
    path: Path,
    wanted: Mapping[str, Any],
    what: str,
    *,
    at_work: bool = False,
    may_grow: Collection[str] = (),
) -> None:
    """Write the record of a command, or compare it with the record that is there.

    The same command continues in its folder. The record of one whose first stage failed gives way,
    because there is no result to keep.

    Args:
        path: the record; its folder holds the stages' folders.
        wanted: everything on which the results depend, as JSON values, with "data", the dataset
            spec, and "images_sha256".
        what: the noun for such a command, with its article, such as "an improvement".
        at_work: True if a process works in the folder; the record then stays.
        may_grow: keys whose whole number may become larger.
    Raises: UserError if the folder holds the results of another command.
    """
    if path.exists():
        earlier = inputs.read_json(path, f"record of {what}")
        if not isinstance(earlier, dict):
            raise UserError(f"{path} is no record of {what}; name another --output")
        if at_work or _has_results(path.parent):
            _compare(earlier, wanted, path.parent, what, may_grow)
    with atomic_text_file(path) as file:
        json.dump(wanted, file, indent=1, allow_nan=False)
        file.write("\n")


def _has_results(folder: Path) -> bool:
    """Return True if a stage's folder holds a file; names with a leading dot are no stages."""
    return any(not found.parent.name.startswith(".") for found in folder.glob("*/*"))


def _compare(
    earlier: Mapping[str, Any],
    wanted: Mapping[str, Any],
    folder: Path,
    what: str,
    may_grow: Collection[str],
) -> None:
    for key, value in wanted.items():
        was = earlier.get(key)
        has_grown = key in may_grow and is_whole(was) and was <= value
        if was != value and key == "images_sha256":
            raise UserError(
                f"{folder} holds {what} on other images: names or sizes of the images of "
                f"{wanted['data']!r} have changed since; name another --output, which keeps those "
                "results"
            )
        if was != value and not has_grown:
            one, other = _difference(was, value)
            raise UserError(
                f"{folder} holds {what} with other settings: {key} was {one} and is now {other}; "
                "name another --output, which keeps those results, or give the same settings"
            )


def _difference(earlier: Any, wanted: Any) -> tuple[str, str]:
    """Return both values in words; of two dictionaries, the first entry that differs."""
    if isinstance(earlier, dict) and isinstance(wanted, dict):
        for key in wanted:
            if earlier.get(key) != wanted[key]:
                return f"{key}={earlier.get(key)!r}", f"{key}={wanted[key]!r}"
    return repr(earlier), repr(wanted)
