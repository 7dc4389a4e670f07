"""Improvement: boxes before and after refinement, and the choice between them without labels."""

from .decision import IMPROVED, THRESHOLDS, UNCHANGED, Signals, Thresholds, best_round, objections
from .folder import settle
from .inspection import LEAST_IMAGES, check_boxes, check_images, check_targets
from .labels import is_labelled
from .options import METHODS, OPTIONS, Settings, parse_settings
from .signals import ImageSignals, Measurement, measure
from .stages import BOXES, PAGE, TARGETS, VERDICT, Improvement, Network
from .verdict import Comparison, write_verdict

__all__ = [
    "BOXES",
    "IMPROVED",
    "LEAST_IMAGES",
    "METHODS",
    "OPTIONS",
    "PAGE",
    "TARGETS",
    "THRESHOLDS",
    "UNCHANGED",
    "VERDICT",
    "Comparison",
    "ImageSignals",
    "Improvement",
    "Measurement",
    "Network",
    "Settings",
    "Signals",
    "Thresholds",
    "best_round",
    "check_boxes",
    "check_images",
    "check_targets",
    "is_labelled",
    "measure",
    "objections",
    "parse_settings",
    "settle",
    "write_verdict",
]
