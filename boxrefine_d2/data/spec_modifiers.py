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
_CODES = {"25": "%", "2b": "+", "3a": ":", "2c": ","}


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
            return f"{self.name}={','.join(map(_escape_name, self.value))}"
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
    escaped = re.sub(r"%(?=25|2[Bb]|3[Aa])", "%25", os.fspath(path))
    return escaped.replace("+", "%2B").replace(":", "%3A")


def unescape_path(part: str) -> str:
    """Return the path whose `escape_path` a spec holds."""
    return re.sub(r"%(25|2[Bb]|3[Aa])", lambda match: _CODES[match[1].lower()], part)


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
    names = tuple(dict.fromkeys(_unescape_name(name.strip()) for name in value.split(",")))
    if "" in names:
        raise UserError(
            f"modifier {'+' + part!r} in {text!r} has an empty class name; separate the names by "
            "one comma, and inside a name write , as %2C"
        )
    return names


def _escape_name(name: str) -> str:
    escaped = re.sub(r"%(?=25|2[BbCc]|3[Aa])", "%25", name)
    return escaped.replace("+", "%2B").replace(":", "%3A").replace(",", "%2C")


def _unescape_name(part: str) -> str:
    return re.sub(r"%(25|2[BbCc]|3[Aa])", lambda match: _CODES[match[1].lower()], part)
