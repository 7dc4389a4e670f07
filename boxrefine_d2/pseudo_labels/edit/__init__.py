"""Edits of pseudo-label files: merge predictions in, drop overlaps, keep what other files confirm.

Each edit reads its input files image by image and writes one file. That file records the inputs and
the parameters of the edit.
"""

from .agreement import KEPT, agree_labels
from .area_limits import limit_areas
from .commands import AREAS, match_labels, merge_labels, separate_labels, top_labels
from .edited_file import EditSummary
from .edits import DROPS
from .overlaps import COMPARISONS

__all__ = [
    "AREAS",
    "COMPARISONS",
    "DROPS",
    "KEPT",
    "EditSummary",
    "agree_labels",
    "limit_areas",
    "match_labels",
    "merge_labels",
    "separate_labels",
    "top_labels",
]
