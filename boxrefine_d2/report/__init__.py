"""Results of finished runs: numbers, tables, and pages with figures."""

from boxrefine_d2.evaluation.bootstrap import Estimate, mean_with_interval, paired_gain

from .detector_plan import plan_detectors
from .detectors import Detector, detector_summary, read_detectors
from .page import write_page
from .run_folder import Run, read_metrics, read_run
from .summary import labels, summarise, summary_table

__all__ = [
    "Detector",
    "Estimate",
    "Run",
    "detector_summary",
    "labels",
    "mean_with_interval",
    "paired_gain",
    "plan_detectors",
    "read_detectors",
    "read_metrics",
    "read_run",
    "summarise",
    "summary_table",
    "write_page",
]
