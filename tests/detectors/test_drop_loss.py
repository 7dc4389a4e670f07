"""Weights and losses of DropLoss by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.detectors.drop_loss import drop_loss, drop_weights, release_targets

A, B, C = [0.0, 0, 10, 10], [100.0, 100, 120, 120], [50.0, 0, 60, 10]


def boxes(*rows) -> torch.Tensor:
    return torch.tensor(rows).reshape(-1, 4)


def weights(predicted, targets, thresh=0.01) -> list[float]:
    return drop_weights([predicted], [targets], iou_thresh=thresh).tolist()


def test_a_region_is_kept_only_above_the_threshold():
    # IoU with A: 1; 50 / 150 = 1 / 3; 0; 0 for a touching edge
    predicted = boxes(A, [5.0, 0, 15, 10], [20.0, 20, 30, 30], [10.0, 0, 20, 10])
    assert weights(predicted, boxes(A)) == [1, 1, 0, 0]
    assert weights(predicted, boxes(A), thresh=0.4) == [1, 0, 0, 0]


def test_an_iou_equal_to_the_threshold_drops():
    # a quarter of A: 25 / 100, exact in binary
    quarter = boxes([0.0, 0, 5, 5])
    assert weights(quarter, boxes(A), thresh=0.25) == [0]
    assert weights(quarter, boxes(A), thresh=0.2499) == [1]


def test_boxes_that_leave_the_image_are_not_clipped_to_it():
    # clipped to x >= 0 it would equal A; unclipped, the IoU is 100 / 20100 = 0.004975
    assert weights(boxes([-2000.0, 0, 10, 10]), boxes(A)) == [0]
    assert weights(boxes([-2000.0, 0, 10, 10]), boxes(A), thresh=0.0049) == [1]


def test_the_best_of_several_targets_counts_and_each_image_has_its_own():
    first, second = boxes(A, B), boxes(B, A, B)
    kept = drop_weights([first, second], [boxes(C, B), boxes(A)], iou_thresh=0.01)
    assert kept.tolist() == [0, 1, 0, 1, 0]


def test_an_image_without_targets_keeps_no_region():
    kept = drop_weights([boxes(A), boxes(A)], [boxes(), boxes(A)], iou_thresh=0.01)
    assert kept.tolist() == [0, 1]
    assert drop_weights([boxes()], [boxes()], iou_thresh=0.01).tolist() == []


def test_boxes_without_area_or_with_nan_are_dropped():
    predicted = boxes([5.0, 5, 5, 5], [math.nan] * 4)
    assert weights(predicted, boxes(A), thresh=0.0) == [0, 0]


def test_weights_have_no_gradient():
    predicted = boxes(A, B).requires_grad_()
    assert not drop_weights([predicted], [boxes(A)], iou_thresh=0.01).requires_grad


def test_the_average_is_over_all_regions():
    # cross-entropies: ln 2 for equal logits, ln(1 + e^-1) = 0.313262 for [1, 0] and label 0
    logits = torch.tensor([[0.0, 0], [1.0, 0], [0.0, 0], [0.0, 0]])
    labels, kept = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1, 0, 0])
    assert_close(drop_loss(logits, labels, kept), torch.tensor((0.693147 + 0.313262) / 4))


def test_a_dropped_region_has_no_gradient_and_no_region_gives_zero():
    logits = torch.zeros(2, 2, requires_grad=True)
    drop_loss(logits, torch.tensor([0, 1]), torch.tensor([1.0, 0])).backward()
    assert logits.grad.tolist() == [[-0.25, 0.25], [0, 0]]
    empty = torch.zeros(0, 2, requires_grad=True)
    loss = drop_loss(empty, torch.zeros(0, dtype=torch.long), torch.zeros(0))
    loss.backward()
    assert loss.item() == 0


def test_the_release_takes_as_many_first_rows_as_there_are_distinct_boxes():
    assert release_targets(boxes(A, A, B, A)).tolist() == [A, A]  # B is missing
    assert release_targets(boxes(B, A, A)).tolist() == [B, A]
    assert release_targets(boxes(A, B, C)).tolist() == [A, B, C]
    assert release_targets(boxes(C, C)).tolist() == [C]
    assert release_targets(boxes()).shape == (0, 4)


@pytest.mark.parametrize(("position", "rows"), [(99, 2), (100, 1)])
def test_the_release_counts_among_the_first_hundred(position, rows):
    matched = boxes(*[A] * 120)
    matched[position] = torch.tensor(B)
    assert release_targets(matched).tolist() == [A] * rows


def test_the_release_drops_a_region_that_matches_only_a_missing_box():
    predicted, matched = boxes(A, B), boxes(A, A, B, A)
    assert weights(predicted, boxes(A, B)) == [1, 1]
    assert weights(predicted, release_targets(matched)) == [1, 0]
