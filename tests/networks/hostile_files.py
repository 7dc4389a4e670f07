"""Hostile and damaged weights files, by name: each entry of `WRITERS` writes one to a path.

This module does not need pytest: fuzzers also import it (`from tests.networks.hostile_files import
WRITERS`). If code of a file runs, it makes the file `mark_of(path)`. The files are small. The files
in `BOMBS` announce or expand to gigabytes.
"""

from . import hostile_archives, hostile_pickles, hostile_tensors
from .hostile_opcodes import BOMBS, WRITERS, mark_of, right_state

PARTS = (
    hostile_archives,
    hostile_pickles,
    hostile_tensors,
)  # each module registers its writers when it is imported

__all__ = ["BOMBS", "PARTS", "WRITERS", "mark_of", "right_state"]
