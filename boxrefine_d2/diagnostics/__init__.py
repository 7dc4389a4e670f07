"""What is installed here, and whether it works. Nothing in this room needs torch or Detectron2 to be imported."""

from .examination import examine
from .fact import BROKEN, MISSING, OK, Fact
from .report import first_fault, to_json, to_text, verdict

__all__ = [
    "BROKEN",
    "MISSING",
    "OK",
    "Fact",
    "examine",
    "first_fault",
    "to_json",
    "to_text",
    "verdict",
]
