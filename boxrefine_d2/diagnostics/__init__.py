"""Report on the installed packages, devices, weights and data, and on whether they work.

Importing this room imports neither torch nor Detectron2.
"""

from .examination import examine
from .finding import BROKEN, MISSING, OK, Finding
from .report import first_fault, to_json, to_text, verdict

__all__ = [
    "BROKEN",
    "MISSING",
    "OK",
    "Finding",
    "examine",
    "first_fault",
    "to_json",
    "to_text",
    "verdict",
]
