"""Base class of a family of tries: it draws inputs by a seed and an action on them."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .outcomes import Outcome
from .sandbox import Sandbox


@dataclass(frozen=True)
class Try:
    """One try.

    Attributes:
        title: the damage or action, in a few words.
        act: runs the try; every exception is a fault.
        command: the command line or call of a user.
    """

    title: str
    act: Callable[[], Outcome]
    command: str = ""


class Family(ABC):
    """Tries of one kind.

    Each try has its own seeded generator and can be repeated alone.

    Attributes:
        name: name on the command line and in tables.
        description: inputs, their damage and the commands, for the page.
        share: share of the time, relative to the other families.
        limit: time limit of a try in seconds.
        per_child: tries in one process; 1 if a try changes its process, as commands do.
    """

    name: str
    description: str
    share: float = 1.0
    limit: float = 60.0
    per_child: int = 1

    def prepare(self, folder: Path) -> None:  # noqa: B027 - not every family needs it
        """Make the valid files that tries start from in an empty folder; import needed modules."""

    @abstractmethod
    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with inputs in the sandbox. All random choices come from `draw`."""
