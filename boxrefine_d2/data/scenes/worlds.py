"""The table of rendered data sets. An image is a pure function of its world, split and index."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from boxrefine_d2.errors import UserError, check_choice

from . import fine, pair
from .categories import CATEGORY_NAMES
from .fine import draw_fine
from .kinds import draw_kinds
from .layout import Layout
from .pair import draw_pair
from .several import draw_several

# Last number of the seeds that draw no layout
_PAINTING, _LABELS = 1, 2


@dataclass(frozen=True)
class World:
    """One rendered data set.

    Attributes:
        name: base of the dataset spec.
        seed: number that separates its random draws from those of other worlds.
        split_sizes: split -> number of images.
        category_names: names of the objects with annotations, by category id.
        draw: function that draws a layout, or None if the draw failed. It takes the generator, and
            the label of the image if the world has labels.
        has_labels: True if each image has one label, which is the category id of its only
            annotated object.
    """

    name: str
    seed: int
    split_sizes: Mapping[str, int]
    category_names: tuple[str, ...]
    draw: Callable[..., Layout | None]
    has_labels: bool = True

    def size(self, split: str) -> int:
        """Return the number of images of a split. Raises: UserError if there is no such split."""
        check_choice(f"split of {self.name}", split, self.split_sizes)
        return self.split_sizes[split]

    def layout(self, split: str, index: int) -> Layout:
        """Return the layout of one image. It is drawn with the next seed until a draw succeeds.

        Raises: UserError if there is no such split or index.
        """
        size = self.size(split)
        if not 0 <= index < size:
            raise UserError(
                f"{self.name}:{split} has no index {index}; allowed are 0 to {size - 1}"
            )
        arguments = (self.label(split, index),) if self.has_labels else ()
        seeds = ((self.seed, self._number(split), index, attempt) for attempt in count())
        drawn = (self.draw(np.random.default_rng(seed), *arguments) for seed in seeds)
        return next(layout for layout in drawn if layout is not None)

    def label(self, split: str, index: int) -> int:
        """Return the label of one image, for a world that has labels.

        Each block of images has every label once, in a random order. The first N images are
        therefore balanced, and the label of an image tells nothing of its layout.
        """
        block, place = divmod(index, len(self.category_names))
        seed = (self.seed, self._number(split), block, 0, _LABELS)
        order = np.random.default_rng(seed).permutation(len(self.category_names))
        return int(order[place])

    def painting_generator(self, split: str, index: int) -> np.random.Generator:
        """Return the generator that paints one image."""
        return np.random.default_rng((self.seed, self._number(split), index, 0, _PAINTING))

    def _number(self, split: str) -> int:
        return list(self.split_sizes).index(split)


_WORLDS = (
    World("scenes", 0xB0C5, {"train": 2000, "val": 500}, CATEGORY_NAMES, draw_several, False),
    World("kinds", 0xB0C6, {"train": 1200, "val": 240, "test": 480}, CATEGORY_NAMES, draw_kinds),
    World("fine", 0xB0C7, {"train": 800, "val": 160, "test": 400}, fine.NAMES, draw_fine),
    World("pair", 0xB0C8, {"train": 900, "val": 180, "test": 360}, pair.LABEL_NAMES, draw_pair),
)
WORLDS: dict[str, World] = {world.name: world for world in _WORLDS}
