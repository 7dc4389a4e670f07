"""Metrics of score maps: maxboxacc_v1, maxboxacc_v2, pxap and piou.

All but pxap depend on thresholds. A result names the threshold and the images that chose it.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .box_accuracy import IOUS, BoxAccuracy
from .ground_truth import GroundTruth
from .map_counts import count_maps
from .map_options import MapOptions
from .pixel_precision import PixelCounts
from .predictions import PredictionFile
from .results import Curve, MetricResult

CONTOUR_METRICS = ("maxboxacc_v1", "maxboxacc_v2")
PIXEL_METRICS = ("pxap", "piou")
MAP_METRICS = (*CONTOUR_METRICS, *PIXEL_METRICS)
V1_IOU = 50  # percent

Floats = NDArray[np.float64]


def map_metrics_of_file(
    truth: GroundTruth, predictions: PredictionFile, names: Sequence[str], options: MapOptions
) -> MetricResult:
    """Return the named metrics, their thresholds, and their curves over thresholds.

    Args: names: names in `MAP_METRICS`.
    Raises: UserError (see `count_maps`).
    """
    count = partial(
        count_maps,
        options=options,
        boxes=any(name in CONTOUR_METRICS for name in names),
        pixels=any(name in PIXEL_METRICS for name in names),
    )
    counted = count(truth, predictions)
    chooser = counted
    if options.validation is not None:
        chooser = count(*options.validation)
        name = options.validation[0].name
        counted.warnings += [f"{name}: {warning}" for warning in chooser.warnings]
    result = MetricResult({}, counted.counts, counted.warnings)
    if counted.boxes and chooser.boxes:
        _add_box_accuracy(result, counted.boxes, chooser.boxes, options)
    if counted.pixels and chooser.pixels:
        _add_pixel_precision(result, counted.pixels, chooser.pixels, options)
    return result


def _add_box_accuracy(
    result: MetricResult, scored: BoxAccuracy, chooser: BoxAccuracy, options: MapOptions
) -> None:
    grid, common = scored.thresholds, options.v2_rule == "common"
    largest, chosen_by = (part.curves(of_any=False) for part in (scored, chooser))
    place = _chosen(chosen_by[V1_IOU], grid, options)
    result.values["maxboxacc_v1"] = float(largest[V1_IOU][place])
    result.rules["maxboxacc_v1"] = _source(options, f"{grid[place]:.3f}")
    drawn = {"Box of the largest contour": largest}
    if common:
        place = _chosen(np.mean([chosen_by[iou] for iou in IOUS], axis=0), grid, options)
        accuracies = [largest[iou][place] for iou in IOUS]
        thresholds = f"{grid[place]:.3f} for all IoUs, box of the largest contour"
    else:
        any_box, chosen_by = (part.curves(of_any=True) for part in (scored, chooser))
        drawn["Box of any contour"] = any_box
        places = {iou: _chosen(chosen_by[iou], grid, options) for iou in IOUS}
        accuracies = [any_box[iou][places[iou]] for iou in IOUS]
        parts = (f"{grid[place]:.3f} at IoU {iou} %" for iou, place in places.items())
        thresholds = f"{', '.join(parts)}, boxes of all contours"
    result.values["maxboxacc_v2"] = float(np.mean(accuracies))
    result.rules["maxboxacc_v2"] = _source(options, thresholds)
    for subject, curves in drawn.items():
        result.curves.extend(_curve(subject, f"IoU {iou} %", grid, curves[iou]) for iou in IOUS)


def _add_pixel_precision(
    result: MetricResult, scored: PixelCounts, chooser: PixelCounts, options: MapOptions
) -> None:
    grid = scored.edges[scored.edges < 1]
    curve, chosen_by = (part.iou()[: len(grid)] for part in (scored, chooser))
    place = _chosen(chosen_by, grid, options)
    result.values["pxap"] = scored.average_precision()
    result.rules["pxap"] = "all thresholds"
    result.values["piou"] = float(curve[place])
    result.rules["piou"] = _source(options, f"{grid[place]:.3f}")
    result.curves.append(_curve("Pixels", "pooled IoU", grid, curve))


def _chosen(percent: Floats, thresholds: Floats, options: MapOptions) -> int:
    """Return the place of the best threshold, the first among equals, or of the fixed one.

    A fixed threshold between two of pixels is lowered to the next one.
    """
    if options.threshold is None:
        return int(percent.argmax())
    return int(np.searchsorted(thresholds, options.threshold, side="right")) - 1


def _curve(subject: str, name: str, thresholds: Floats, percent: Floats) -> Curve:
    return Curve(subject, name, thresholds.tolist(), percent.tolist())


def _source(options: MapOptions, thresholds: str) -> str:
    if options.threshold_from == "fixed":
        return f"fixed threshold {thresholds}"
    if options.validation is not None:
        return f"threshold {thresholds}; the best on {options.validation[0].name} (val)"
    return f"threshold {thresholds}; the best on the scored images (test)"
