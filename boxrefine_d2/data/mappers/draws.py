"""Random draws of a mapper that depend only on its arguments.

The state of the caller's random generators stays unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def torch_draws(entropy: np.random.SeedSequence) -> Iterator[None]:
    """Seed torch from `entropy` inside the context, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(entropy.generate_state(1)[0]))
        yield


@contextmanager
def numpy_draws(entropy: np.random.SeedSequence) -> Iterator[None]:
    """Seed NumPy's global generator from `entropy` inside the context, and restore it afterwards.

    Detectron2's transforms draw from this generator.
    """
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(entropy.generate_state(1)[0])  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
