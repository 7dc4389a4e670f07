"""Losses of MOVE by hand."""

import pytest
import torch

from boxrefine_d2.config import paper_profile
from boxrefine_d2.pretraining.move_losses import MaskLosses, adversarial, discriminator_hinge

PLAIN = {
    "pool": 2,
    "binarise_weight": 1.0,
    "binarise_steps": 0,
    "min_area": 0.0,
    "min_area_weight": 0.0,
    "max_area": 1.0,
    "max_area_weight": 0.0,
}


def mask_of(*rows):
    return torch.tensor(rows)[None, None]


def test_hinge():
    fake, real = torch.tensor([[-2.0, 0.0], [1.0, -0.5]]), torch.tensor([2.0, 0.5, -1.0])
    # fake: 0, 1, 2, 0.5; real: 0, 0.5, 2
    assert discriminator_hinge(fake, real).item() == pytest.approx(3.5 / 4 + 2.5 / 3)
    assert adversarial(fake).item() == pytest.approx(1.5 / 4)


def test_binarisation_is_summed_over_pixels_means_and_maxima():
    mask = mask_of([0.0, 1.0, 0.9, 0.9], [0.0, 1.0, 0.9, 0.9])
    losses = MaskLosses(**PLAIN)(mask, step=0)
    # pixels: 4 of 8 cost 0.1; means: 0.5 and 0.9; maxima: 1 and 0.9
    assert set(losses) == {"loss_binarise"}
    assert losses["loss_binarise"].item() == pytest.approx(0.05 + 0.3 + 0.05)


@pytest.mark.parametrize(("step", "share"), [(0, 0), (1, 0.25), (3, 0.75), (4, 1), (400, 1)])
def test_binarisation_warms_up(step, share):
    losses = MaskLosses(**PLAIN | {"binarise_steps": 4})(torch.full((1, 1, 2, 2), 0.5), step)
    assert losses.get("loss_binarise", torch.zeros(())).item() == pytest.approx(1.5 * share)


def test_areas_are_per_image_not_per_batch():
    empty, full = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    settings = {
        "min_area": 0.05,
        "min_area_weight": 100.0,
        "max_area": 0.75,
        "max_area_weight": 2.0,
    }
    losses = MaskLosses(**PLAIN | settings)(torch.cat([empty, full]), step=0)
    assert losses["loss_min_area"].item() == pytest.approx(3 * 100 * 0.05 / 2)
    assert losses["loss_max_area"].item() == pytest.approx(3 * 2 * 0.25 / 2)


def test_the_gradient_enlarges_a_mask_that_is_too_small():
    mask = torch.full((1, 1, 4, 4), 0.01, requires_grad=True)
    settings = {"min_area": 0.05, "min_area_weight": 100.0, "binarise_weight": 0.0}
    (gradient,) = torch.autograd.grad(
        MaskLosses(**PLAIN | settings)(mask, 0)["loss_min_area"], mask
    )
    assert (gradient < 0).all()


def test_published_numbers():
    node = paper_profile().PRETRAIN.MOVE
    assert (node.BINARISE_WEIGHT, node.BINARISE_STEPS, node.POOL) == (12.5, 2500, 16)
    assert (node.MIN_AREA, node.MIN_AREA_WEIGHT, node.MAX_AREA_WEIGHT) == (0.05, 100, 0)
    assert (node.SHIFT, node.SEGMENTER_BETAS, node.SEGMENTER_WEIGHT_DECAY) == (
        0.125,
        (0.9, 0.95),
        0,
    )
    judge = node.DISCRIMINATOR
    assert (judge.BETAS, judge.WEIGHT_DECAY) == ((0.0, 0.99), 0.01)
    assert (judge.FEATURES, judge.INPUT_SIZE) == ("tf_efficientnet_lite0", 224)
