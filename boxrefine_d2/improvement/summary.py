"""Summary of the measurements of one round: means, paired differences and their intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from boxrefine_d2.evaluation.bootstrap import Estimate, mean_with_interval, paired_gain

from .decision import Change, Signals
from .signals import Corners, ImageSignals

_CHECKS_UNTIL_FIRST = 2  # rows of the record: that before f learns, and the first check


def signals_of_round(
    images: Sequence[ImageSignals], network: int, record: Mapping[str, Any]
) -> Signals:
    """Return the signals of one round over all images.

    Args:
        network: place of the round's network; 0 is that from before.
        record: record of the training, with "drift" and "stopped".
    """

    def change(values: Callable[[int], Sequence[float]]) -> Change:
        before, after = (np.array([values(place)]) for place in (0, network))
        return Change(
            mean_with_interval(before), mean_with_interval(after), paired_gain(before, after)
        )

    def mean(name: str) -> Estimate:
        return mean_with_interval([[getattr(image, name)[network] for image in images]])

    return Signals(
        len(images),
        change(lambda place: [image.flip[place] for image in images]),
        change(lambda place: [image.rules[place] for image in images]),
        change(lambda place: likeness([image.box[place] for image in images])),
        _area_ratio(images, network),
        mean("shift"),
        mean("overlap"),
        stopped_at_once=stopped_at_once(record),
    )


def likeness(boxes: Sequence[Corners | None]) -> list[float]:
    """Return the mean IoU of each box with the boxes of the other images; that of no box is 0.

    Args: boxes: box of each image, in shares of its sides.
    """
    corners = torch.tensor([box or (0.0,) * 4 for box in boxes], dtype=torch.float64)
    ious = torch.nan_to_num(box_iou(corners, corners)).fill_diagonal_(0)
    return list(ious.sum(dim=1) / max(len(boxes) - 1, 1))


def stopped_at_once(record: Mapping[str, Any]) -> bool:
    """Return True if the safety stop of a training fired at its first check.

    The network then has the weights that it started from.
    """
    checks = record.get("drift") or []
    return bool(record.get("stopped")) and len(checks) <= _CHECKS_UNTIL_FIRST


def _area_ratio(images: Sequence[ImageSignals], network: int) -> Estimate:
    """Return the geometric mean of the ratio of areas, a factor; images without a box are left out.

    Without any pair of boxes the factor is 1.
    """
    pairs = [(_area(image.box[0]), _area(image.box[network])) for image in images]
    logs = [math.log(after / before) for before, after in pairs if before and after]
    mean = mean_with_interval([logs or [0.0]])  # in hundredths, as all estimates
    return Estimate(*(math.exp(x / 100) for x in (mean.mean, mean.low, mean.high)))


def _area(box: Corners | None) -> float:
    return 0.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])
