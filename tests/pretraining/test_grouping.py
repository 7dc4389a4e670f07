import pytest
import torch
from torch.nn import functional as F

from boxrefine_d2.pretraining.grouping import GroupingLoss, composite, pair_kinds

LOSS = GroupingLoss(scale=5.0, background_weight=0.5, centred_weight=0.0)


def test_a_composite_shows_the_next_images_inside_the_masks():
    views = torch.stack([torch.full((3, 4, 4), float(value)) for value in (10, 20, 30)])
    masks = torch.zeros(3, 2, 4, 4)
    masks[0, 0, :2] = 1.0  # the upper half shows image 1
    masks[0, 1, 1:3] = 1.0  # two rows of image 2 cover a part of it
    masks[2, 0, 0, 0] = 0.25  # a soft border: a quarter of image 0
    composites, sources = composite(views, masks)
    assert composites[0, 0, :, 0].tolist() == [20, 30, 30, 10]
    assert sources[0, :, 0].tolist() == [1, 2, 2, 0]
    assert composites[1].equal(views[1]) and not sources[1].any()
    assert composites[2, 0, 0, :2].tolist() == [25, 30] and not sources[2].any()


def test_pairs_by_hand():
    """Four patches of 2 x 2 pixels: background, background, region, and one with half of each."""
    sources = torch.tensor([[[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]])
    apart, together, background = pair_kinds(sources, patch_size=2)
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = expected[1, 2] = expected[2, 1] = True
    assert apart[0].equal(expected)
    assert together[0].nonzero().tolist() == [[2, 2]]
    assert background[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def sources_of_two_halves() -> torch.Tensor:
    sources = torch.zeros(1, 8, 8, dtype=torch.long)
    sources[:, :, 4:] = 1
    return sources


def test_the_loss_equals_the_formula():
    keys = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(0))
    loss, _ = LOSS(keys, sources_of_two_halves(), patch_size=2)
    unit = F.normalize(keys[0], dim=1)
    cosine = unit @ unit.T
    region = torch.tensor([0, 0, 1, 1] * 4).bool()
    repel = F.softplus(5 * cosine[region][:, ~region]).mean()
    within = F.softplus(-5 * cosine[region][:, region]).mean()
    background = F.softplus(-5 * cosine[~region][:, ~region]).mean()
    torch.testing.assert_close(loss, repel + within + 0.5 * background)


def test_opposite_keys_have_all_signs_correct_and_equal_keys_half():
    sources = sources_of_two_halves()
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0] * 4)[None, :, None]
    best, right = LOSS(sign.expand(1, 16, 3), sources, patch_size=2)
    worst, half = LOSS(torch.ones(1, 16, 3), sources, patch_size=2)
    assert best < worst
    assert (right.item(), half.item()) == (1.0, 0.5)


def test_the_centred_term_ignores_a_common_offset():
    sources = sources_of_two_halves()
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0] * 4)[None, :, None].expand(1, 16, 3)
    centred = GroupingLoss(scale=5.0, background_weight=0.5, centred_weight=1.0)
    extra = [
        (centred(keys, sources, 2)[0] - LOSS(keys, sources, 2)[0]).item()
        for keys in (sign, sign + 100.0)
    ]
    assert extra[0] == pytest.approx(extra[1], rel=1e-4)
    assert extra[0] == pytest.approx(LOSS(sign, sources, 2)[0].item())


def test_images_without_a_region_have_no_pairs_of_different_sources():
    keys = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss, _ = LOSS(keys, torch.zeros(2, 4, 4, dtype=torch.long), patch_size=2)
    loss.backward()
    assert loss.isfinite() and keys.grad.isfinite().all()
