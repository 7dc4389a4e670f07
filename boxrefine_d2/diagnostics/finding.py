"""One finding of a report."""

from dataclasses import dataclass, field
from typing import Any

OK, MISSING, BROKEN = "ok", "missing", "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        section: key of `report.SECTIONS`.
        name: the part that was checked.
        state: `OK`, `MISSING` or `BROKEN`.
        value: description of the part, or the error message of a broken part.
        fix: command or sentence that helps; "" if nothing needs to be done.
        required: whether nothing works without the part.
        more: numbers and paths for the JSON file.
    """

    section: str
    name: str
    state: str
    value: str
    fix: str = ""
    required: bool = False
    more: dict[str, Any] = field(default_factory=dict)
