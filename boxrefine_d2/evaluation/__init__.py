"""Scores: CorLoc for models (an evaluator) and for prediction files, with a preflight."""

from .build import METRICS, evaluate_predictions, parse_metrics
from .corloc import CorLoc, CorLocEvaluator, corloc, is_localised, top_box
from .ground_truth import PROTOCOLS, CorLocProtocol, GroundTruth, ground_truth_boxes, protocol_for
from .predictions import BoxTable, PredictionFile, box_table, read_predictions
from .preflight import check_convention, check_ground_truth, check_predictions
from .refinement import RefinementEvaluator
from .results import MetricResult, write_json

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "BoxTable",
    "CorLoc",
    "CorLocEvaluator",
    "CorLocProtocol",
    "GroundTruth",
    "MetricResult",
    "PredictionFile",
    "RefinementEvaluator",
    "box_table",
    "check_convention",
    "check_ground_truth",
    "check_predictions",
    "corloc",
    "evaluate_predictions",
    "ground_truth_boxes",
    "is_localised",
    "parse_metrics",
    "protocol_for",
    "read_predictions",
    "top_box",
    "write_json",
]
