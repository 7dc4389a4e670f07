"""One finding."""

from dataclasses import dataclass, field
from typing import Any

OK, MISSING, BROKEN = "ok", "missing", "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        section: a key of `report.SECTIONS`.
        state: `OK`, `MISSING` or `BROKEN`.
        value: what was found, or the message of what is broken.
        fix: the command or the sentence that helps; "" if nothing is to be done.
        required: whether nothing works without it.
        more: numbers and paths for the JSON file.
    """

    section: str
    name: str
    state: str
    value: str
    fix: str = ""
    required: bool = False
    more: dict[str, Any] = field(default_factory=dict)
