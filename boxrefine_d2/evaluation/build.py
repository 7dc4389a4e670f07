"""Table of the metrics by name, for `tools/evaluate.py`.

A new metric is one file with a function (GroundTruth, PredictionFile) -> MetricResult, and one
entry per name in `METRICS`. Names that point to the same function are computed in one call. The
metrics of score maps have options, and `map_metrics_of_file` computes all of them in one call.
"""

from collections.abc import Callable, Sequence
from functools import partial

from boxrefine_d2.errors import UserError

from .average_precision import MASK_AP_METRICS, box_ap_of_file, mask_ap_of_file
from .category_precision import category_ap_of_file
from .corloc import corloc_of_file
from .ground_truth import GroundTruth
from .grounding import GROUNDING_METRICS, grounding_of_file
from .localization import (
    BOX_METRICS,
    CLASS_BOX_METRICS,
    CLASS_METRICS,
    boxes_of_file,
    class_boxes_of_file,
    classes_of_file,
)
from .map_metrics import MAP_METRICS, map_metrics_of_file
from .map_options import MapOptions
from .mask_iou import mask_iou_of_file
from .precision import precision_of_file
from .precision_recall import AP_METRICS
from .predictions import PredictionFile
from .results import MetricResult
from .semantic_segmentation import SEMANTIC_METRICS, semantic_map_metrics

Metric = Callable[[GroundTruth, PredictionFile], MetricResult]

METRICS: dict[str, Metric] = {
    "corloc": corloc_of_file,
    "precision": precision_of_file,
    "mask_iou": mask_iou_of_file,
    "foreground_iou": mask_iou_of_file,
    **dict.fromkeys(AP_METRICS, box_ap_of_file),
    **dict.fromkeys(MASK_AP_METRICS, mask_ap_of_file),
    **dict.fromkeys(GROUNDING_METRICS, grounding_of_file),
    **dict.fromkeys(BOX_METRICS, boxes_of_file),
    **dict.fromkeys(CLASS_METRICS, classes_of_file),
    **dict.fromkeys(CLASS_BOX_METRICS, class_boxes_of_file),
    **dict.fromkeys(SEMANTIC_METRICS, semantic_map_metrics),
}


def known_metrics() -> list[str]:
    """Return the names of all metrics."""
    return [*METRICS, *MAP_METRICS]


def parse_metrics(text: str) -> list[str]:
    """Split "corloc,ap" into known names, each once. Raises: UserError, listing the known names."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = known_metrics()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UserError(
            f"--metrics '{text}': unknown {', '.join(unknown) or '(none given)'}; "
            f"known: {', '.join(known)}"
        )
    return names


def evaluate_predictions(
    ground_truth: GroundTruth,
    predictions: PredictionFile,
    metrics: Sequence[str],
    map_options: MapOptions | None = None,
    *,
    by_category: bool = False,
) -> MetricResult:
    """Return the named metrics of one file, in the order of `metrics`, without undefined ones.

    Families of metrics count different things. The counts of the first family keep their plain
    names. The counts of a further family have its name as prefix: "corloc,ap50" gives
    `images_evaluated`, ..., `ap_images_evaluated`, ...

    Args:
        map_options: options of the metrics of score maps; None is the default of each.
        by_category: whether average precision is the mean over categories.
    Raises: UserError for any mistake in the file (see `preflight`).
    """
    of_maps = [name for name in metrics if name in MAP_METRICS]
    function_of_maps = partial(
        map_metrics_of_file, names=of_maps, options=map_options or MapOptions()
    )
    functions: dict[str, Metric] = METRICS | dict.fromkeys(MAP_METRICS, function_of_maps)
    if by_category:
        for names, of_masks in ((AP_METRICS, False), (MASK_AP_METRICS, True)):
            functions |= dict.fromkeys(names, partial(category_ap_of_file, of_masks=of_masks))
    results = {
        function: function(ground_truth, predictions)
        for function in dict.fromkeys(functions[name] for name in metrics)
    }
    values, rules = {}, {}
    for name in metrics:
        of_family = results[functions[name]]
        if name in of_family.values:
            values[name] = of_family.values[name]
        if name in of_family.rules:
            rules[name] = of_family.rules[name]
    counts: dict[str, int] = {}
    for function, result in results.items():
        families = (name for name in METRICS if functions[name] is function)
        family = next(families, "map")
        prefix = f"{family}_" if counts else ""
        counts |= {prefix + key: count for key, count in result.counts.items()}
    warnings = list(dict.fromkeys(text for r in results.values() for text in r.warnings))
    undefined = [name for name in metrics if name not in values]
    if undefined:
        warnings.append(f"{', '.join(undefined)}: not defined, no object is of that size")
    curves = [curve for result in results.values() for curve in result.curves]
    per_class: dict[str, dict[str, float]] = {}
    for result in results.values():
        per_class |= result.per_class
    return MetricResult(values, counts, warnings, rules, curves, per_class)
