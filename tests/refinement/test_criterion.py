import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.refinement import HungarianMatcher, SetCriterion

PAPER = {"class_weight": 2.0, "l1_weight": 5.0, "giou_weight": 2.0, "no_object_weight": 0.1}
RELEASE = PAPER | {"class_weight": 0.1}
TARGET = torch.tensor([[0.5, 0.5, 0.5, 0.3]])


def outputs(logits) -> dict[str, torch.Tensor]:
    boxes = [[[0.5, 0.5, 0.4, 0.4], [0.2, 0.2, 0.1, 0.1]]]
    return {
        "pred_logits": torch.tensor([logits], dtype=torch.float32),
        "pred_boxes": torch.tensor(boxes),
    }


def random_outputs(batch, k, seed=0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "pred_logits": torch.randn(batch, k, 2, generator=generator),
        "pred_boxes": 0.2 + 0.3 * torch.rand(batch, k, 4, generator=generator),
    }


@pytest.mark.parametrize(("weights", "total"), [(RELEASE, 1.860320), (PAPER, 2.306395)])
def test_golden_total(weights, total):
    losses = SetCriterion(**weights)(outputs([[2.0, 0.0], [1.0, 0.0]]), [TARGET])
    assert_close(sum(losses.values()), torch.tensor(total), atol=2e-6, rtol=0)


def test_golden_terms():
    losses = SetCriterion(**PAPER)(outputs([[2.0, 0.0], [1.0, 0.0]]), [TARGET])
    assert_close(losses["loss_class"] / 2, torch.tensor(0.234777), atol=1e-6, rtol=0)
    assert_close(losses["loss_l1"] / 5, torch.tensor(0.2), atol=1e-6, rtol=0)
    assert_close(losses["loss_giou"] / 2, torch.tensor(0.418421), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("class_cost", "expected"), [(0.1, [-0.236264, 6.906439]), (2.0, [-1.625275, 6.395451])]
)
def test_golden_matching_costs(class_cost, expected):
    matcher = HungarianMatcher(class_cost=class_cost, l1_cost=5.0, giou_cost=2.0)
    cost = matcher.cost(outputs([[1.0, 0.0], [0.0, 1.0]]), TARGET)
    assert_close(cost[0, :, 0], torch.tensor(expected), atol=2e-6, rtol=0)


def test_assignment_is_the_cheapest_and_not_the_greedy_one():
    # prediction 0 is best for both targets; the cheapest sum leaves it to target 1
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.3, 0.5, 0.2, 0.2]]])
    targets = torch.tensor([[0.45, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]])
    matcher = HungarianMatcher(class_cost=0.0, l1_cost=1.0, giou_cost=0.0)
    ((predicted, chosen),) = matcher(
        {"pred_boxes": boxes, "pred_logits": torch.zeros(1, 2, 2)}, [targets]
    )
    assert sorted(zip(predicted.tolist(), chosen.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_loss_does_not_depend_on_the_order_of_predictions():
    criterion, outs = SetCriterion(**PAPER), random_outputs(3, 5)
    targets = [TARGET, TARGET + 0.1, TARGET - 0.1]
    shuffled = {name: value[:, [3, 0, 4, 2, 1]] for name, value in outs.items()}
    assert_close(criterion(outs, targets), criterion(shuffled, targets))


def test_two_images_of_equal_size_average():
    criterion, outs = SetCriterion(**PAPER), random_outputs(2, 4)
    targets = [TARGET, TARGET + 0.1]
    parts = [
        criterion({name: value[i : i + 1] for name, value in outs.items()}, targets[i : i + 1])
        for i in range(2)
    ]
    together = criterion(outs, targets)
    for name, value in together.items():
        assert_close(value, (parts[0][name] + parts[1][name]) / 2)


def test_without_targets_only_no_object_is_learned():
    outs = random_outputs(2, 3)
    losses = SetCriterion(**PAPER)(outs, [torch.zeros(0, 4)] * 2)
    expected = -2 * outs["pred_logits"].log_softmax(2)[..., 1].mean()
    assert_close(losses["loss_class"], expected)
    assert losses["loss_l1"] == 0 and losses["loss_giou"] == 0


def test_more_targets_than_predictions_leaves_the_costly_ones():
    matcher = HungarianMatcher(class_cost=2.0, l1_cost=5.0, giou_cost=2.0)
    ((predicted, chosen),) = matcher(random_outputs(1, 2), [torch.rand(5, 4) * 0.2 + 0.3])
    assert len(predicted) == len(chosen) == 2


def test_a_nan_is_not_matched():
    outs = random_outputs(1, 2)
    outs["pred_boxes"][0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="infinite or NaN"):
        SetCriterion(**PAPER)(outs, [TARGET])


def test_gradient_reaches_matched_boxes_only():
    outs = {name: value.requires_grad_() for name, value in random_outputs(1, 3).items()}
    criterion = SetCriterion(**PAPER)
    ((predicted, _),) = criterion.matcher(outs, [TARGET])
    sum(criterion(outs, [TARGET]).values()).backward()
    rows = outs["pred_boxes"].grad[0].abs().sum(1) > 0
    assert rows.nonzero()[:, 0].tolist() == predicted.tolist()
    assert bool((outs["pred_logits"].grad != 0).all())
