"""Errors of a step: a user's mistake is named with its remedy, a bug stays an error."""

import pytest
import torch
from torch import nn

from boxrefine_d2.training.step_errors import mistake_of_step


def test_a_loss_that_is_not_finite_is_the_learning_rate():
    mistake = mistake_of_step(FloatingPointError("loss is nan"), "iteration 7", "SOLVER.BASE_LR")
    assert "iteration 7: loss is nan; lower SOLVER.BASE_LR" in str(mistake)


def test_one_value_for_a_batch_norm_is_the_batch():
    """The message is PyTorch's own, so that a change of it shows here."""
    with pytest.raises(ValueError) as caught:
        nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))
    mistake = mistake_of_step(caught.value, "iteration 0", "SOLVER.BASE_LR")
    assert "SOLVER.IMS_PER_BATCH" in str(mistake) and "INPUT.SQUARE_SIZE" in str(mistake)


def test_another_error_is_a_bug():
    assert mistake_of_step(ValueError("shapes differ"), "iteration 0", "SOLVER.BASE_LR") is None
