"""Losses of the weight map, by values that were derived by hand."""

import pytest
import torch

from boxrefine_d2.localization.masking import (
    COLOURS,
    divergence,
    hard_cross_entropy,
    masked,
    soft_cross_entropy,
    triplet_loss,
)
from boxrefine_d2.networks.padding import normalise_and_pad

WHOLE = torch.tensor([[2.0, 1, 0], [0, 0, 3]], dtype=torch.float64)
SEEN = torch.tensor([[1.0, 1, 0], [0, 1, 2]], dtype=torch.float64)


def test_method_1_is_the_mean_of_two_cross_entropies():
    loss = soft_cross_entropy(WHOLE, SEEN)
    assert loss.item() == pytest.approx((0.952025 + 0.543441) / 2, abs=1e-6)
    assert loss.item() + 1.0 * 0.5 == pytest.approx(1.247733, abs=1e-6)


def test_the_divergence_is_the_cross_entropy_less_the_entropy_of_the_target():
    expected = (0.952025 - 0.832396 + 0.543441 - 0.366594) / 2
    assert divergence(WHOLE, SEEN).item() == pytest.approx(expected, abs=1e-6)
    assert divergence(WHOLE, WHOLE).item() == pytest.approx(0, abs=1e-12)


def test_the_hard_form_reads_the_predicted_class():
    expected = (-SEEN.log_softmax(1)[0, 0] - SEEN.log_softmax(1)[1, 2]) / 2
    assert hard_cross_entropy(WHOLE, SEEN).item() == pytest.approx(expected.item())


def test_method_2_by_the_example_in_two_dimensions():
    points = {
        "whole": (0.0, 0.0),
        "anchor": (0.6, 0.8),
        "background": (1.2, 0.5),
        "positive": (0.6, 0.0),
        "negative": (3.0, 4.0),
    }
    x = {name: torch.tensor([point], dtype=torch.float64) for name, point in points.items()}
    inner = triplet_loss(x["whole"], x["anchor"], x["background"], 1.0)
    outer = triplet_loss(x["anchor"], x["positive"], x["negative"], 1.0)
    assert inner.item() == pytest.approx(0.7)
    assert outer.item() == 0
    assert inner.item() + outer.item() + 0.25 == pytest.approx(0.95)


def test_the_triplet_loss_of_equal_points_has_a_finite_gradient():
    anchor = torch.zeros(1, 4, requires_grad=True)
    triplet_loss(anchor, torch.zeros(1, 4), torch.ones(1, 4), 1.0).backward()
    assert anchor.grad.isfinite().all()


@pytest.mark.parametrize("colour", COLOURS)
def test_a_map_of_0_shows_the_colour_and_a_map_of_1_the_image(colour):
    pixels = torch.randint(256, (3, 4, 4), dtype=torch.uint8)
    image = normalise_and_pad([pixels], 1)
    plain = (torch.tensor(COLOURS[colour]) * 255).view(3, 1, 1).expand(3, 4, 4)
    hidden = masked(image, torch.zeros(1, 1, 4, 4), colour)
    torch.testing.assert_close(hidden, normalise_and_pad([plain], 1))
    torch.testing.assert_close(masked(image, torch.ones(1, 1, 4, 4), colour), image)
