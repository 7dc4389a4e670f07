import pytest
import torch
from torch.nn import functional as F

from boxrefine_d2.losses import IGNORED, PairLoss
from boxrefine_d2.losses.pair_loss import pair_kinds

LOSS = PairLoss(scale=5.0, background_weight=0.5, centred_weight=0.0)
HALVES = torch.tensor([[0, 0, 1, 1] * 4])


def test_pairs_by_hand():
    """Four cells: background, background, region, and one that is ignored."""
    apart, together, background = pair_kinds(torch.tensor([[0, 0, 1, IGNORED]]))
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = expected[1, 2] = expected[2, 1] = True
    assert apart[0].equal(expected)
    assert together[0].nonzero().tolist() == [[2, 2]]
    assert background[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_two_regions_can_be_left_alone():
    regions = torch.tensor([[0, 1, 2, IGNORED]])
    apart, together, background = pair_kinds(regions, regions_apart=False)
    assert apart[0].nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [2, 0]]
    with_them, *others = pair_kinds(regions, regions_apart=True)
    assert (with_them ^ apart)[0].nonzero().tolist() == [[1, 2], [2, 1]]
    assert others[0].equal(together) and others[1].equal(background)
    keys = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    losses = {PairLoss(5.0, 1.0, 0.5, apart)(keys, regions)[0].item() for apart in (True, False)}
    assert len(losses) == 2


def test_the_loss_equals_the_formula():
    keys = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(0))
    loss, _ = LOSS(keys, HALVES)
    unit = F.normalize(keys[0], dim=1)
    cosine = unit @ unit.T
    region = HALVES[0].bool()
    repel = F.softplus(5 * cosine[region][:, ~region]).mean()
    within = F.softplus(-5 * cosine[region][:, region]).mean()
    background = F.softplus(-5 * cosine[~region][:, ~region]).mean()
    torch.testing.assert_close(loss, repel + within + 0.5 * background)


def test_ignored_cells_do_not_count():
    keys = torch.randn(1, 16, 5, generator=torch.Generator().manual_seed(0))
    ignored = torch.arange(16) % 4 == 1
    loss, share = LOSS(keys, HALVES.masked_fill(ignored, IGNORED))
    without = LOSS(keys[:, ~ignored], HALVES[:, ~ignored])
    torch.testing.assert_close((loss, share), without)


def test_opposite_keys_have_all_signs_correct_and_equal_keys_half():
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0] * 4)[None, :, None]
    best, right = LOSS(sign.expand(1, 16, 3), HALVES)
    worst, half = LOSS(torch.ones(1, 16, 3), HALVES)
    assert best < worst
    assert (right.item(), half.item()) == (1.0, 0.5)


def test_the_centred_term_ignores_a_common_offset():
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0] * 4)[None, :, None].expand(1, 16, 3)
    centred = PairLoss(scale=5.0, background_weight=0.5, centred_weight=1.0)
    extra = [
        (centred(keys, HALVES)[0] - LOSS(keys, HALVES)[0]).item() for keys in (sign, sign + 100.0)
    ]
    assert extra[0] == pytest.approx(extra[1], rel=1e-4)
    assert extra[0] == pytest.approx(LOSS(sign, HALVES)[0].item())


def test_images_without_a_region_have_no_pairs_of_different_regions():
    keys = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss, _ = LOSS(keys, torch.zeros(2, 4, dtype=torch.long))
    loss.backward()
    assert loss.isfinite() and keys.grad.isfinite().all()
