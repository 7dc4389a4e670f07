"""What is installed here, and whether it works. Nothing in this room needs torch or Detectron2 to be imported."""

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
