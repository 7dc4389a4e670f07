"""The metrics by name, for `tools/evaluate.py`.

A further metric is one file with a function (GroundTruth, PredictionFile) -> MetricResult and one entry per name in
`METRICS`; names that point to the same function are computed in one call.
"""

from collections.abc import Callable, Sequence

from boxrefine_d2.errors import UserError

from .corloc import corloc_of_file
from .ground_truth import GroundTruth
from .mask_iou import mask_iou_of_file
from .predictions import PredictionFile
from .results import MetricResult

METRICS: dict[str, Callable[[GroundTruth, PredictionFile], MetricResult]] = {
    "corloc": corloc_of_file,
    "mask_iou": mask_iou_of_file,
    "foreground_iou": mask_iou_of_file,
}


def parse_metrics(text: str) -> list[str]:
    """Splits "corloc,ap" into known names, each once. Raises `UserError`, listing the known ones."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise UserError(
            f"--metrics '{text}': unknown {', '.join(unknown) or '(none given)'}; known: {', '.join(METRICS)}"
        )
    return names


def evaluate_predictions(
    ground_truth: GroundTruth, predictions: PredictionFile, metrics: Sequence[str]
) -> MetricResult:
    """The named metrics of one file; values in the order of `metrics`.

    Raises: UserError for anything wrong with the file (see `preflight`).
    """
    results = {
        function: function(ground_truth, predictions)
        for function in dict.fromkeys(METRICS[name] for name in metrics)
    }
    values = {name: results[METRICS[name]].values[name] for name in metrics}
    counts = {key: count for r in results.values() for key, count in r.counts.items()}
    warnings = list(dict.fromkeys(text for r in results.values() for text in r.warnings))
    return MetricResult(values, counts, warnings)
