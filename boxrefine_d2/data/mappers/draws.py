"""Draws of a mapper that depend on what it is given alone, and leave the caller's random numbers as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def torch_draws(entropy: np.random.SeedSequence) -> Iterator[None]:
    """Inside, torch draws what `entropy` says; outside nothing has changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(entropy.generate_state(1)[0]))
        yield


@contextmanager
def numpy_draws(entropy: np.random.SeedSequence) -> Iterator[None]:
    """Inside, NumPy's global generator, which Detectron2's transforms use, draws what `entropy` says."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(entropy.generate_state(1)[0])  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
