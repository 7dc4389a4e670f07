"""What a family of tries is: inputs drawn by a seed, and what is done with them."""

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
        title: what is tried, in a few words.
        act: does it; whatever it raises is a fault.
        command: what a user would type, or call.
    """

    title: str
    act: Callable[[], Outcome]
    command: str = ""


class Family(ABC):
    """Tries of one kind. Each is drawn from its own seeded generator, so that any one can be repeated alone.

    Attributes:
        name: on the command line and in tables.
        what: what it does to what, for the page.
        share: of the time, relative to the other families.
        limit: seconds for one try.
        per_child: tries in one process; 1 where a try leaves traces in the process (a command does).
    """

    name: str
    what: str
    share: float = 1.0
    limit: float = 60.0
    per_child: int = 1

    def prepare(self, folder: Path) -> None:  # noqa: B027 - not every family needs any
        """Make, in an empty folder, the valid files that tries start from; import what tries need."""

    @abstractmethod
    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try whose inputs lie in the sandbox. Everything random comes from `draw`."""
