"""Decision whether refinement made boxes better; it reads label-free signals and no label."""

from collections.abc import Sequence
from dataclasses import dataclass

from boxrefine_d2.evaluation.bootstrap import Estimate

IMPROVED = "refinement improved your boxes by the signals that need no labels"
UNCHANGED = "no improvement was found; your boxes are unchanged"


@dataclass(frozen=True)
class Change:
    """One agreement before and after refinement, a mean IoU over the same images, in percent.

    Attributes: difference: after minus before, with its paired 95 % interval.
    """

    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Signals:
    """Label-free differences between the network before and after refinement.

    Attributes:
        images: number of images measured.
        flip_agreement: IoU of the rule's first box on an image, and its first box on the mirrored
            image, mirrored back.
        rule_agreement: mean IoU over the pairs of first boxes of different rules on one map.
        likeness: IoU of the rule's first box on an image with that on another image, in shares of
            the sides.
        area_ratio: area of the rule's first box after, divided by that before; the geometric mean
            and its interval are factors, not percent.
        feature_shift: relative L2 distance of the map to that before, in percent.
        overlap: IoU of the first boxes before and after, in percent; no rule of the decision.
        stopped_at_once: True if the safety stop fired at its first check: the network has the
            weights from before.
    """

    images: int
    flip_agreement: Change
    rule_agreement: Change
    likeness: Change
    area_ratio: Estimate
    feature_shift: Estimate
    overlap: Estimate
    stopped_at_once: bool = False


@dataclass(frozen=True)
class Thresholds:
    """Limits of the decision. All of them are ours, not published.

    Attributes:
        largest_fall: percent points by which the mean of an agreement may fall, if the interval of
            the difference contains zero. A fall whose whole interval is below zero is never
            allowed.
        least_rise: percent points that the lower end of the interval of one agreement must exceed.
        area_factor: largest factor by which the mean area may grow or shrink. A box of the whole
            image agrees with every mirrored one. `REFINE.DRIFT.AREA_FACTOR` of the configurations
            that refine by regions has the same value.
        most_alike: percent that the likeness may rise to. Boxes that hardly depend on the image
            agree with each mirrored one and with those of every rule.
    """

    largest_fall: float = 2.0
    least_rise: float = 0.0
    area_factor: float = 4.0
    most_alike: float = 60.0


THRESHOLDS = Thresholds()


def objections(signals: Signals, thresholds: Thresholds = THRESHOLDS) -> list[str]:
    """Return the reasons against the boxes after refinement; none if they are better."""
    changes = {
        "agreement with mirrored images": signals.flip_agreement,
        "agreement of different rules": signals.rule_agreement,
    }
    reasons = []
    if signals.stopped_at_once:
        reasons.append("the safety stop fired at its first check")
    for name, change in changes.items():
        fell = change.difference.high < 0
        if fell or change.difference.mean < -thresholds.largest_fall:
            reasons.append(f"{name} fell by {-change.difference.mean:.2f} percent points")
    if all(change.difference.low <= thresholds.least_rise for change in changes.values()):
        reasons.append("no agreement rose with its whole 95 % interval above zero")
    alike = signals.likeness
    if alike.difference.low > 0 and alike.after.mean > thresholds.most_alike:
        reasons.append(
            f"the boxes of different images have become alike: mean IoU {alike.after.mean:.0f} %, "
            f"before {alike.before.mean:.0f} %"
        )
    factor = signals.area_ratio.mean
    if not 1 / thresholds.area_factor <= factor <= thresholds.area_factor:
        reasons.append(f"the mean area of the boxes changed by a factor of {factor:.2f}")
    return reasons


def best_round(rounds: Sequence[Signals], thresholds: Thresholds = THRESHOLDS) -> int | None:
    """Return the index of the round whose boxes are to be used; None for those from before.

    Of the rounds without an objection, it is the one whose two agreements rose most together, and
    the first of equal ones.
    """
    good = [i for i, signals in enumerate(rounds) if not objections(signals, thresholds)]
    rises = {
        i: rounds[i].flip_agreement.difference.mean + rounds[i].rule_agreement.difference.mean
        for i in good
    }
    return max(good, key=rises.__getitem__, default=None)
