"""Hostile and damaged files of weights, by name: each entry of `WRITERS` writes one to a path.

It needs no pytest: fuzzers import it too (`from tests.networks.hostile_files import WRITERS`). What a file would run, were
it run, makes the file `mark_of(path)`. The files are small; the bombs among them, `BOMBS`, announce or expand to gigabytes.
"""

from . import hostile_archives, hostile_pickles, hostile_tensors
from .hostile_opcodes import BOMBS, WRITERS, mark_of, right_state

PARTS = (
    hostile_archives,
    hostile_pickles,
    hostile_tensors,
)  # each enters its writers when it is imported

__all__ = ["BOMBS", "PARTS", "WRITERS", "mark_of", "right_state"]
