"""Triplets of images for a triplet loss: an anchor, one of its class, and one of another class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.errors import UserError

from .passes import order_of_pass


class Triplet(NamedTuple):
    """Indices of three images."""

    anchor: int
    positive: int
    negative: int


class TripletSampler:
    """Triplets of a data set, a pure function of seed, epoch and index, so that a run can resume.

    In each epoch, every image is the anchor once, in the order in which `TrainLoader` with this
    seed draws it. The positive is uniform among the other images of the anchor's class; it is the
    anchor itself if the class has one image. The class of the negative is uniform among the other
    classes, and the negative is uniform in it. The weight map's paper names the classes of both,
    not their distributions.
    """

    def __init__(self, labels: Sequence[int], seed: int):
        """Create the sampler.

        Args:   labels: class of each image; any integers.
                seed: seed of all draws.
        Raises: UserError for fewer than two classes.
        """
        values, classes, counts = np.unique(
            np.asarray(labels, dtype=np.int64), return_inverse=True, return_counts=True
        )
        if len(values) < 2:
            raise UserError(
                f"triplets need images of two classes, and the {len(labels)} images have "
                f"{len(values)}; add images of another class"
            )
        self.seed = seed
        self._classes: NDArray[np.int64] = classes.astype(np.int64)
        self._members = np.argsort(classes, kind="stable")  # class by class
        self._counts = counts
        self._starts = np.cumsum(counts) - counts
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of triplets in an epoch, that of the images."""
        return len(self._classes)

    def __call__(self, epoch: int, index: int) -> Triplet:
        """Return the triplet at a place of an epoch, both counted from 0."""
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order_of_pass(len(self), self.seed, epoch)
        return self.with_anchor(int(self._order[index]), epoch, index)

    def with_anchor(self, anchor: int, epoch: int, index: int) -> Triplet:
        """Return the triplet that `__call__` would return if its anchor were this image."""
        rng = np.random.default_rng([self.seed, epoch, index, 1])  # 1: apart from the order
        own = int(self._classes[anchor])
        other = _another(len(self._counts), own, rng)
        negative = self._starts[other] + rng.integers(self._counts[other])
        positive = np.int64(anchor)
        if self._counts[own] > 1:
            members = self._members[self._starts[own] : self._starts[own] + self._counts[own]]
            place = int(np.searchsorted(members, anchor))  # members ascend
            positive = members[_another(len(members), place, rng)]
        return Triplet(anchor, int(positive), int(self._members[negative]))


def _another(count: int, own: int, rng: np.random.Generator) -> int:
    """Draw one of `count` places other than `own`, uniformly."""
    drawn = int(rng.integers(count - 1))
    return drawn + (drawn >= own)
