"""The table of the twelve kinds of object."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .living import LIVING
from .made import MADE
from .outlines import Part


@dataclass(frozen=True)
class Category:
    """One kind of object.

    Attributes: build: function that draws the parts of an object.  tilt: largest rotation in
        degrees, in either direction.
    """

    build: Callable[[np.random.Generator], list[Part]]
    tilt: float


_TILTS = {
    "fish": 60.0,
    "beetle": 180.0,
    "bottle": 70.0,
    "flower": 40.0,
    "mushroom": 25.0,
    "bird": 25.0,
    "cup": 25.0,
}
_UPRIGHT = 12.0  # degrees, for objects that stand on the ground

CATEGORIES: dict[str, Category] = {
    name: Category(build, _TILTS.get(name, _UPRIGHT)) for name, build in (LIVING | MADE).items()
}
CATEGORY_NAMES: tuple[str, ...] = tuple(CATEGORIES)
