"""Metrics of models (evaluators) and of prediction files, with the checks before a score."""

from .average_precision import MASK_AP_METRICS, average_precision
from .build import METRICS, evaluate_predictions, known_metrics, parse_metrics
from .coco_regions import Detections
from .corloc import CorLoc, corloc, is_localised, top_box
from .corloc_evaluator import CorLocEvaluator
from .ground_truth import PROTOCOLS, CorLocProtocol, GroundTruth, ground_truth_boxes, protocol_for
from .map_metrics import MAP_METRICS
from .map_options import MapOptions
from .precision_recall import AP_METRICS
from .predictions import BoxTable, PredictionFile, box_table, read_predictions
from .preflight import check_convention, check_ground_truth, check_predictions
from .refinement import RefinementEvaluator
from .results import MetricResult, write_json

__all__ = [
    "AP_METRICS",
    "MAP_METRICS",
    "MASK_AP_METRICS",
    "METRICS",
    "PROTOCOLS",
    "BoxTable",
    "CorLoc",
    "CorLocEvaluator",
    "CorLocProtocol",
    "Detections",
    "GroundTruth",
    "MapOptions",
    "MetricResult",
    "PredictionFile",
    "RefinementEvaluator",
    "average_precision",
    "box_table",
    "check_convention",
    "check_ground_truth",
    "check_predictions",
    "corloc",
    "evaluate_predictions",
    "ground_truth_boxes",
    "is_localised",
    "known_metrics",
    "parse_metrics",
    "protocol_for",
    "read_predictions",
    "top_box",
    "write_json",
]
