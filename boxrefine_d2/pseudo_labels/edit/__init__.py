"""Edits of pseudo-label files: merge predictions in, drop overlaps, keep what a detector confirms.

Each edit reads its input files image by image and writes one file. That file records the inputs and
the parameters of the edit.
"""

from .commands import AREAS, match_labels, merge_labels, separate_labels, top_labels
from .edited_file import EditSummary
from .edits import DROPS
from .overlaps import COMPARISONS

__all__ = [
    "AREAS",
    "COMPARISONS",
    "DROPS",
    "EditSummary",
    "match_labels",
    "merge_labels",
    "separate_labels",
    "top_labels",
]
