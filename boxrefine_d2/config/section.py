"""Sections of the configuration, and their keys: default, meaning, unit, values and source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .limits import Limit

OURS = "ours"
PAPER = "Box-based Refinement (ICCV 2023)"


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        default: the value of the paper profile; every other value is of its type.
        meaning: what the key sets, in a sentence or two.
        allowed: the values that it may hold; None: every value of the type.
        unit: of the value, such as "pixels"; "" where it has none.
        source: the paper or code that the default comes from; "" where it is the section's.
    """

    default: Any
    meaning: str
    allowed: Limit | None = None
    unit: str = ""
    source: str = ""


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes:
        name: in full, such as "DISCOVERY.LOST"; "" holds the keys that stand above all sections.
        meaning: what the keys are for, in a sentence.
        keys: by their names inside the section.
        source: the paper or code that the defaults come from, unless a key names its own.
    """

    name: str
    meaning: str
    keys: Mapping[str, Key]
    source: str = ""

    def full_keys(self) -> Iterator[tuple[str, Key]]:
        """Yield each key with its name in full, such as "DISCOVERY.LOST.CENTRE"."""
        prefix = f"{self.name}." if self.name else ""
        for name, key in self.keys.items():
            yield f"{prefix}{name}", key
