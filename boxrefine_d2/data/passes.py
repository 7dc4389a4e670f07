"""Order of the images in each pass over a data set."""

import numpy as np
from numpy.typing import NDArray


def order_of_pass(images: int, seed: int, number: int) -> NDArray[np.int64]:
    """Return the permutation of `images` indices that a seed gives to a pass, counted from 0."""
    return np.random.default_rng([seed, number]).permutation(images)
