"""Modifiers of a dataset spec as text: +NAME[=VALUE], how it is parsed, written and applied."""

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import user_name

from .class_modifiers import one_class, with_classes
from .modifiers import agnostic, every, first, not_every, overlapping, separate, with_pseudo_labels
from .records import LoadedDataset

_COUNTED = {"first": first, "every": every, "not_every": not_every}
_WITHOUT_VALUE: dict[str, Callable[[LoadedDataset], LoadedDataset]] = {
    "agnostic": agnostic,
    "overlapping": overlapping,
    "separate": separate,
    "one_class": one_class,
}
MODIFIER_FORMS = {
    "agnostic": "agnostic",
    "first": "first=N",
    "every": "every=N",
    "not_every": "not_every=N",
    "pseudo": "pseudo=FILE",
    "overlapping": "overlapping",
    "separate": "separate",
    "one_class": "one_class",
    "classes": "classes=A,B,...",
}
ESCAPE_HINT = "inside a path write + as %2B and : as %3A"
_CODES = {"+": "%2B", ":": "%3A", ",": "%2C"}
_OF_PATHS, _OF_NAMES = "+:", "+:,"  # characters that separate parts of a spec


@dataclass(frozen=True)
class Modifier:
    """One step after the base.

    The value is an integer for first, every and not_every, a path for pseudo, the names for
    classes, and otherwise None.
    """

    name: str
    value: int | str | tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.value is None:
            return self.name
        if isinstance(self.value, tuple):
            return f"{self.name}={','.join(_escape(name, _OF_NAMES) for name in self.value)}"
        return f"{self.name}={escape_path(str(self.value))}"

    def __call__(self, dataset: LoadedDataset) -> LoadedDataset:
        """Return the data set after this step. Raises: UserError from the step."""
        if self.name in _WITHOUT_VALUE:
            return _WITHOUT_VALUE[self.name](dataset)
        if isinstance(self.value, int):
            return _COUNTED[self.name](dataset, self.value)
        if isinstance(self.value, tuple):
            return with_classes(dataset, self.value)
        return with_pseudo_labels(dataset, user_name(str(self.value)))


def escape_path(path: str | os.PathLike[str]) -> str:
    """Return a path as it is written inside a spec."""
    return _escape(os.fspath(path), _OF_PATHS)


def unescape_path(part: str) -> str:
    """Return the path whose `escape_path` a spec holds."""
    return _unescape(part, _OF_PATHS)


def _escape(text: str, separators: str) -> str:
    """Return a text without separators; a "%" is written as %25 where it would begin a code."""
    text = _code(separators).sub(lambda match: f"%25{match[0][1:]}", text)
    return "".join(_CODES[each] if each in separators else each for each in text)


def _unescape(text: str, separators: str) -> str:
    characters = {"%25": "%"} | {_CODES[each]: each for each in separators}
    return _code(separators).sub(lambda match: characters[match[0].upper()], text)


def _code(separators: str) -> re.Pattern[str]:
    return re.compile("|".join(["%25", *(_CODES[each] for each in separators)]), re.IGNORECASE)


def parse_modifier(part: str, text: str) -> Modifier:
    """Return a modifier from the part of a spec between two "+".

    Args: text: the whole spec, for messages.
    Raises: UserError for an unknown name, and for a value that is missing, surplus or wrong.
    """
    name, equals, value = part.partition("=")
    if name not in MODIFIER_FORMS:
        close = difflib.get_close_matches(name, MODIFIER_FORMS, n=1)
        hint = f"did you mean +{MODIFIER_FORMS[close[0]]}? " if close else ""
        known = ", ".join(f"+{form}" for form in MODIFIER_FORMS.values())
        raise UserError(
            f"unknown modifier {'+' + part!r} in {text!r}; {hint}known: {known}; {ESCAPE_HINT}"
        )
    if name in _WITHOUT_VALUE:
        if equals:
            raise UserError(f"modifier {'+' + part!r} in {text!r}: +{name} takes no value")
        return Modifier(name)
    if not value:
        raise UserError(
            f"modifier {'+' + part!r} in {text!r} needs a value: +{MODIFIER_FORMS[name]}"
        )
    if name in _COUNTED:
        if not (value.isascii() and value.isdigit() and int(value) >= 1):
            raise UserError(
                f"modifier {'+' + part!r} in {text!r}: N must be an integer of at least 1"
            )
        return Modifier(name, int(value))
    if name == "classes":
        return Modifier(name, _parse_names(part, value, text))
    if ":" in value:
        raise UserError(f"modifier {'+' + part!r} in {text!r} has a ':' in its path; {ESCAPE_HINT}")
    return Modifier(name, unescape_path(value))


def _parse_names(part: str, value: str, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_unescape(name.strip(), _OF_NAMES) for name in value.split(",")))
    if "" in names:
        raise UserError(
            f"modifier {'+' + part!r} in {text!r} has an empty class name; separate the names by "
            "one comma, and inside a name write , as %2C"
        )
    return names
