"""The room after the runs: what they found together, as numbers, as a table and as a page with pictures."""

from .bootstrap import Estimate, mean_with_interval, paired_gain
from .page import write_page
from .run_folder import Run, read_metrics, read_run
from .summary import labels, summarise, summary_table

__all__ = [
    "Estimate",
    "Run",
    "labels",
    "mean_with_interval",
    "paired_gain",
    "read_metrics",
    "read_run",
    "summarise",
    "summary_table",
    "write_page",
]
