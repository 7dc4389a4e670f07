"""Table of the metrics by name, for `tools/evaluate.py`.

A new metric is one file with a function (GroundTruth, PredictionFile) -> MetricResult, and one
entry per name in `METRICS`. Names that point to the same function are computed in one call.
"""

from collections.abc import Callable, Sequence

from boxrefine_d2.errors import UserError

from .average_precision import MASK_AP_METRICS, box_ap_of_file, mask_ap_of_file
from .corloc import corloc_of_file
from .ground_truth import GroundTruth
from .grounding import GROUNDING_METRICS, grounding_of_file
from .mask_iou import mask_iou_of_file
from .precision import precision_of_file
from .precision_recall import AP_METRICS
from .predictions import PredictionFile
from .results import MetricResult

METRICS: dict[str, Callable[[GroundTruth, PredictionFile], MetricResult]] = {
    "corloc": corloc_of_file,
    "precision": precision_of_file,
    "mask_iou": mask_iou_of_file,
    "foreground_iou": mask_iou_of_file,
    **dict.fromkeys(AP_METRICS, box_ap_of_file),
    **dict.fromkeys(MASK_AP_METRICS, mask_ap_of_file),
    **dict.fromkeys(GROUNDING_METRICS, grounding_of_file),
}


def parse_metrics(text: str) -> list[str]:
    """Split "corloc,ap" into known names, each once. Raises: UserError, listing the known names."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise UserError(
            f"--metrics '{text}': unknown {', '.join(unknown) or '(none given)'}; "
            f"known: {', '.join(METRICS)}"
        )
    return names


def evaluate_predictions(
    ground_truth: GroundTruth, predictions: PredictionFile, metrics: Sequence[str]
) -> MetricResult:
    """Return the named metrics of one file, in the order of `metrics`, without undefined ones.

    Families of metrics count different things. The counts of the first family keep their plain
    names. The counts of a further family have its name as prefix: "corloc,ap50" gives
    `images_evaluated`, ..., `ap_images_evaluated`, ...

    Raises: UserError for any mistake in the file (see `preflight`).
    """
    results = {
        function: function(ground_truth, predictions)
        for function in dict.fromkeys(METRICS[name] for name in metrics)
    }
    values_of = {name: results[METRICS[name]].values for name in metrics}
    values = {name: of_family[name] for name, of_family in values_of.items() if name in of_family}
    counts: dict[str, int] = {}
    for function, result in results.items():
        family = next(name for name in METRICS if METRICS[name] is function)
        prefix = f"{family}_" if counts else ""
        counts |= {prefix + key: count for key, count in result.counts.items()}
    warnings = list(dict.fromkeys(text for r in results.values() for text in r.warnings))
    undefined = [name for name in metrics if name not in values]
    if undefined:
        warnings.append(f"{', '.join(undefined)}: not defined, no object is of that size")
    return MetricResult(values, counts, warnings)
