"""The check of a value of the configuration: its type, finite numbers, the limit of its key."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import can_be_path
from boxrefine_d2.files.values import shown_value

from .known import limit_of

_MOST_WHOLE = 2**31 - 1
_SCALARS = (bool, int, float, str)
_WORDS: dict[type, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a tuple such as (1, 2)",
    list: "a list such as [1, 2]",
}


def check_value(name: str, value: Any, default: Any, *, said: str = "") -> None:
    """Refuse a value that a key cannot have.

    Args:
        name: the key, in full.
        default: its default, whose type the value must have; None allows every type.
        said: the key as the user named it, for messages; "" is `name`.
    Raises: UserError that names the key, the value and what is allowed.
    """
    reason = _wrong_type(value, default) or _wrong_number(value)
    limit = limit_of(name)
    if reason is None and limit is not None and not _holds(limit.holds, value):
        reason = f"must be {limit.allowed}"
    if reason:
        raise UserError(f"{said or name} {shown_value(value)}: {reason}")


def leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of a configuration in full, with their values."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _wrong_type(value: Any, default: Any) -> str | None:
    """Return the fault in the type of a value, or in the parts of a list; None if there is none."""
    if default is None:
        return None if value is None or isinstance(value, _SCALARS) else "must be a number or None"
    kind = type(default)
    if type(value) is not kind:
        return f"must be {_WORDS.get(kind, kind.__name__)}, like {shown_value(default)}"
    if not isinstance(value, list | tuple):
        return None
    for part in value:
        if not _fits(part, default):
            return f"must hold values like {shown_value(default)}, not {shown_value(part)}"
    return None


def _fits(part: Any, default: Sequence[Any]) -> bool:
    """Return whether a part of a list is like those of its default.

    A whole number is a number. A list in a list holds texts if those of the default do, and numbers
    otherwise.
    """
    kinds = {type(each) for each in default}
    if not kinds:
        return isinstance(part, (*_SCALARS, list, tuple))
    if kinds & {list, tuple}:
        texts = any(isinstance(word, str) for each in default for word in each)
        inner = (str,) if texts else (int, float)
        return isinstance(part, list | tuple) and all(type(p) in inner for p in part)
    return type(part) in (kinds | {int} if float in kinds else kinds)


def _wrong_number(value: Any) -> str | None:
    """Return the fault in the numbers and texts of a value; None if there is none."""
    if isinstance(value, list | tuple):
        return next((reason for part in value if (reason := _wrong_number(part))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if type(value) is int and abs(value) > _MOST_WHOLE:
        return f"must be from -{_MOST_WHOLE} to {_MOST_WHOLE}"
    if isinstance(value, str) and not can_be_path(value):
        return "has a character that no path and no command can have"
    return None


def _holds(test: Any, value: Any) -> bool:
    try:
        return bool(test(value))
    except TypeError:  # such as text where a list of numbers is compared
        return False
