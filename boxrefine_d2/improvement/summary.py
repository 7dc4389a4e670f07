"""Summary of the measurements of one round: means, paired differences and their intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from boxrefine_d2.evaluation.bootstrap import Estimate, mean_with_interval, paired_gain

from .decision import Change, Signals
from .signals import ImageSignals

_CHECKS_UNTIL_FIRST = 2  # rows of the record: that before f learns, and the first check


def signals_of_round(
    images: Sequence[ImageSignals], network: int, record: Mapping[str, Any]
) -> Signals:
    """Return the signals of one round over all images.

    Args:
        network: place of the round's network; 0 is that from before.
        record: record of the training, with "drift" and "stopped".
    """

    def change(name: str) -> Change:
        before, after = (np.array([[getattr(i, name)[k] for i in images]]) for k in (0, network))
        return Change(
            mean_with_interval(before), mean_with_interval(after), paired_gain(before, after)
        )

    def mean(name: str) -> Estimate:
        return mean_with_interval([[getattr(image, name)[network] for image in images]])

    return Signals(
        len(images),
        change("flip"),
        change("rules"),
        _area_ratio(images, network),
        mean("shift"),
        mean("overlap"),
        stopped_at_once=stopped_at_once(record),
    )


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
    pairs = [(image.area[0], image.area[network]) for image in images]
    logs = [math.log(after / before) for before, after in pairs if before and after]
    mean = mean_with_interval([logs or [0.0]])  # in hundredths, as all estimates
    return Estimate(*(math.exp(x / 100) for x in (mean.mean, mean.low, mean.high)))
