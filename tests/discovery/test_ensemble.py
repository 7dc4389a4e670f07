import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery.ensemble import agreement
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import PseudoBoxes
from tests.toy_rules import RuleOf

from .test_lost import planted_square

FIRST, HALF, FAR = [0.0, 0, 10, 10], [0.0, 0, 10, 5], [50.0, 50, 60, 60]


def test_agreement_by_hand():
    """Check rule 0 with FIRST and FAR, rule 1 with HALF and rule 2 with FIRST.

    The IoU of FIRST and HALF is 0.5.
    """
    boxes = torch.tensor([FIRST, FAR, HALF, FIRST])
    found = agreement(boxes, torch.tensor([0, 0, 1, 2]), 3)
    assert found.tolist() == [0.75, 0.0, 0.5, 0.75]
    assert agreement(boxes[:1], torch.tensor([0]), 2).tolist() == [0.0]


def ensemble_of(monkeypatch, found, **parameters):
    """Return the ensemble's result for rules that find the given boxes."""
    rule = build_rule("ensemble", **parameters)
    scores = [torch.ones(len(boxes)) for boxes in found]
    rule.rules = [
        RuleOf(lambda _, boxes=boxes, s=s: [PseudoBoxes(torch.tensor(boxes), s, (60, 60))])
        for boxes, s in zip(found, scores, strict=True)
    ]
    return rule(planted_square((4, 4), (1, 1, 2, 2)))[0]


def test_the_box_of_most_rules_wins_over_the_first(monkeypatch):
    found = ensemble_of(monkeypatch, [[FAR], [FIRST], [FIRST]])
    assert found.boxes.tolist() == [FIRST] and found.scores.tolist() == [0.5]


def test_several_objects_without_doubles_and_without_the_lonely(monkeypatch):
    both = [FIRST, FAR]
    found = ensemble_of(monkeypatch, [both, both, [FIRST, [20.0, 0, 30, 9]]], max_objects=9)
    assert found.boxes.tolist() == [FIRST, FAR]
    assert found.scores.tolist() == [1.0, 0.5]
    alone = ensemble_of(monkeypatch, [[FIRST], [FAR]], max_objects=9)
    assert len(alone) == 1  # no rules agree; the image keeps one box


@pytest.mark.parametrize("box", [(1, 2, 4, 5), (4, 1, 7, 6)])
def test_planted_square_is_found_by_the_real_rules(box):
    (found,) = discover("ensemble", planted_square((9, 9), box))
    assert found.boxes.tolist() == [[16 * x for x in box]]
    assert found.scores.tolist() == [1.0]
    assert found.masks.sum() == (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("lost", "two other rules or more"),
        ("lost, ensemble", "two other rules or more"),
        ("lost, dino_seg", "lost key or output, dino_seg attention"),
        ("lost, tokencat", "discovery method 'tokencat' is unknown"),
    ],
)
def test_mistakes_are_named(rules, message):
    with pytest.raises(UserError, match=message):
        build_rule("ensemble", rules=rules)
