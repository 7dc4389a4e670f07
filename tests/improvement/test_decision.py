"""The decision by its cases. Estimates are in percent; the area ratio is a factor."""

from dataclasses import replace

import pytest

from boxrefine_d2.evaluation.bootstrap import Estimate
from boxrefine_d2.improvement import Signals, Thresholds, best_round, objections
from boxrefine_d2.improvement.decision import Change
from boxrefine_d2.training.setup import load_config


def change(mean, low, high):
    return Change(Estimate(60, 50, 70), Estimate(60 + mean, 50, 70), Estimate(mean, low, high))


ROSE, UNSURE, SAME = change(3.0, 1.0, 5.0), change(3.0, -1.0, 7.0), change(0.0, 0.0, 0.0)
# a fall within the noise, one that is certain, and one that is large
DIPPED, FELL, DROPPED = change(-1.5, -4.0, 1.0), change(-0.5, -0.9, -0.1), change(-3.0, -9.0, 3.0)


ALIKE = Change(Estimate(40, 38, 42), Estimate(61, 59, 63), Estimate(21, 19, 23))


def signals(flip, rules, area=1.0, likeness=SAME, **others):
    return Signals(
        40, flip, rules, likeness, Estimate(area, 0.9, 1.1), Estimate(5, 4, 6), ROSE.after, **others
    )


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (signals(ROSE, ROSE), []),
        (signals(ROSE, SAME), []),
        (signals(UNSURE, ROSE), []),
        (signals(SAME, SAME), ["no agreement rose"]),
        (signals(UNSURE, UNSURE), ["no agreement rose"]),
        (signals(ROSE, FELL), ["agreement of different rules fell by 0.50"]),
        (signals(FELL, ROSE), ["agreement with mirrored images fell by 0.50"]),
        (signals(ROSE, DIPPED), []),
        (signals(DROPPED, ROSE), ["agreement with mirrored images fell by 3.00"]),
        (signals(ROSE, ROSE, area=4.1), ["changed by a factor of 4.10"]),
        (signals(ROSE, ROSE, area=0.2), ["changed by a factor of 0.20"]),
        (signals(ROSE, ROSE, area=4.0), []),
        (signals(ROSE, ROSE, likeness=ALIKE), ["have become alike: mean IoU 61 %, before 40 %"]),
        (signals(ROSE, ROSE, likeness=replace(ALIKE, difference=SAME.difference)), []),
        (signals(ROSE, ROSE, likeness=replace(ALIKE, after=Estimate(60, 59, 61))), []),
        (signals(ROSE, ROSE, stopped_at_once=True), ["the safety stop fired"]),
        (signals(SAME, SAME, stopped_at_once=True), ["the safety stop fired", "no agreement rose"]),
    ],
)
def test_the_reasons_against_the_new_boxes(found, reasons):
    stated = objections(found)
    assert len(stated) == len(reasons)
    assert all(part in reason for part, reason in zip(reasons, stated, strict=True))


def test_thresholds_move_the_decision():
    assert objections(signals(ROSE, DIPPED), Thresholds(largest_fall=1.0)) != []
    assert objections(signals(ROSE, FELL), Thresholds(largest_fall=9.0)) != []
    assert objections(signals(ROSE, ROSE), Thresholds(least_rise=1.0)) != []
    assert objections(signals(ROSE, ROSE, area=1.2), Thresholds(area_factor=1.1)) != []


@pytest.mark.parametrize("name", ["configs/region_refine.yaml", "configs/demo/region_refine.yaml"])
def test_the_safety_stop_lets_boxes_grow_as_far_as_the_decision(name):
    assert Thresholds().area_factor == load_config(name, []).REFINE.DRIFT.AREA_FACTOR


def test_the_best_round_is_one_without_objections():
    little, much = signals(ROSE, SAME), signals(ROSE, ROSE)
    blown_up = replace(much, area_ratio=Estimate(5.0, 4.9, 5.1))
    assert best_round([signals(SAME, SAME)]) is None
    assert best_round([little, much]) == 1
    assert best_round([much, little]) == 0
    assert best_round([little, blown_up]) == 0
    assert best_round([little, little]) == 0
