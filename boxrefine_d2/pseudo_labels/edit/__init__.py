"""Editing pseudo-label files: merging in a detector's predictions, leaving overlaps out, keeping what is found twice.

Each edit reads whole files image by image and writes one, which says what it was made of.
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
