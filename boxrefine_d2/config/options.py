"""Settings that a command takes by --set, beside keys of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import shown_value

from .limits import Limit


@dataclass(frozen=True)
class Option:
    """One setting. Attributes: meaning: its meaning, with the unit, for help texts."""

    default: Any
    meaning: str
    limit: Limit


def meanings(options: Mapping[str, Option]) -> str:
    """Return the settings with their meanings, for a help text."""
    return "; ".join(f"{name}: {option.meaning}" for name, option in options.items())


def checked_option(options: Mapping[str, Option], key: str, value: Any) -> Any:
    """Return the value of a setting. Raises: UserError if it has another type or is not allowed."""
    option = options[key]
    kind = type(option.default)
    if type(value) is not kind or not option.limit.holds(value):
        allowed = "true or false" if kind is bool else option.limit.allowed
        raise UserError(f"--set {key}={shown_value(value)}: it must be {allowed}")
    return value
