"""Losses and schedule of the fine-tuning, by golden values 10.1, 10.2 and 10.4."""

import math

import pytest
import torch
from timm.scheduler import CosineLRScheduler

from boxrefine_d2.segmentation.contrast import (
    directions,
    multi_label_contrast,
    positive_slots,
    symmetric_contrast,
)
from boxrefine_d2.segmentation.entropy_penalties import (
    group_entropy,
    label_entropy,
    segment_entropy,
)
from boxrefine_d2.segmentation.jumping_cosine import JumpingCosine

ATTENTION = torch.tensor([[[0.79, 0.30, 0.51, 0.525], [0.21, 0.70, 0.49, 0.475]]]).double()
COSINES = torch.tensor([[[0.6, 0.1, 0.3], [0.2, 0.5, 0.2]]]).double()
ALL = torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (group_entropy(ATTENTION), 0.627416),
        (group_entropy(ATTENTION, "code"), 0.339034),
        (segment_entropy(COSINES, ALL), 0.284485),
        (segment_entropy(torch.tensor([[[0.5], [0.3]]]).double(), ALL[:, :1]), 0.068817),
        (label_entropy(ATTENTION, COSINES, ALL), 1.094281),
        (label_entropy(ATTENTION, COSINES / 0.07, ALL), 0.691334),
        (label_entropy(ATTENTION, 100 * COSINES, ALL), 0.627416),
        (label_entropy(ATTENTION, COSINES, ALL, "code"), 0.366097),
    ],
)
def test_the_penalties_of_the_example(found, expected):
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_bounds_for_eight_groups():
    even = torch.full((1, 8, 5), 1 / 8).double()
    one_hot = torch.zeros(1, 8, 5).double()
    one_hot[:, 3] = 1
    assert group_entropy(even).item() == pytest.approx(math.log(8))
    assert group_entropy(one_hot).item() == 0
    assert group_entropy(even, "code").item() == pytest.approx(0.259930, abs=1e-6)
    assert group_entropy(one_hot, "code").item() == pytest.approx(0.249288, abs=1e-6)


def test_the_code_s_gradient_is_far_weaker():
    maps = torch.randn(1, 8, 196, generator=torch.Generator().manual_seed(0)).double()
    norms = []
    for form in ("text", "code"):
        shares = maps.softmax(dim=1).requires_grad_()
        (gradient,) = torch.autograd.grad(group_entropy(shares, form), shares)
        tangential = gradient - gradient.mean(dim=1, keepdim=True)
        norms.append(tangential.norm().item())
    assert norms[0] > 50 * norms[1]


def test_padded_labels_take_no_part():
    valid = torch.tensor([[True, True, False]])
    for form in ("text", "code"):
        padded = label_entropy(ATTENTION, COSINES, valid, form)
        torch.testing.assert_close(
            padded, label_entropy(ATTENTION, COSINES[..., :2], valid[:, :2], form)
        )
    torch.testing.assert_close(
        segment_entropy(COSINES, valid), segment_entropy(COSINES[..., :2], valid[:, :2])
    )
    assert label_entropy(ATTENTION, COSINES, torch.tensor([[True, False, False]])).item() == 0
    none = torch.zeros(1, 3, dtype=torch.bool)
    assert label_entropy(ATTENTION, COSINES, none).item() == 0
    assert segment_entropy(COSINES, none).item() == 0


def at(degrees):
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


IMAGES = torch.tensor([at(0), at(60)]).double()
LABELS = torch.tensor([[at(20), [0.0, 0.0]], [at(20), at(80)]]).double()
WORDS = [["dog", ""], ["dog", "grass"]]
SLOTS = [0.162237, 0.693147, 1.898719, 0.000471]
COMMON = [1.030478, 0, 1.030478, 0.000471]


@pytest.mark.parametrize(
    ("non_noisy", "fill", "to_slots", "to_images", "total"),
    [
        (False, "pad_zero", [5.391887, 1.170093], SLOTS, 1.984817),
        (False, "pad_masked", [0.693383, 1.170031], SLOTS, 0.809425),
        (True, "pad_zero", [0.693424, 1.459507], COMMON, 0.795911),
        (True, "pad_masked", [0.693383, 1.459445], COMMON, 0.881778),
    ],
)
def test_the_contrast_of_the_example(non_noisy, fill, to_slots, to_images, total):
    settings = {"fill": fill, "non_noisy": non_noisy}
    found = directions(IMAGES, LABELS, WORDS, 10.0, positives="mean_log", **settings)
    assert found[0].tolist() == pytest.approx(to_slots, abs=1e-6)
    kept = [0, 2, 3] if fill == "pad_masked" else range(4)
    assert [found[1][k].item() for k in kept] == pytest.approx(
        [to_images[k] for k in kept], abs=1e-6
    )
    loss = multi_label_contrast(IMAGES, LABELS, WORDS, 10.0, **settings)
    assert loss.item() == pytest.approx(total, abs=1e-6)


def test_the_logarithm_of_the_sum():
    settings = {"fill": "pad_masked", "non_noisy": False, "positives": "log_sum"}
    to_slots, _ = directions(IMAGES, LABELS, WORDS, 10.0, **settings)
    assert to_slots.tolist() == pytest.approx([0.693383, 0.139554], abs=1e-6)


def test_different_words_without_pad_give_the_ordinary_loss():
    words = [["dog", "cat"], ["car", "grass"]]
    labels = torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    losses = [
        multi_label_contrast(IMAGES, labels, words, 10.0, non_noisy=each) for each in (True, False)
    ]
    torch.testing.assert_close(*losses)
    assert positive_slots(WORDS, non_noisy=True, fill="pad_zero").int().tolist() == [
        [1, 0, 1, 0],
        [1, 0, 1, 1],
    ]


@pytest.mark.parametrize("fill", ["pad_zero", "pad_masked"])
@pytest.mark.parametrize("words", [[["", ""], ["", ""]], [["dog", "dog"], ["dog", "dog"]]])
def test_batches_without_labels_or_with_one_word_have_finite_gradients(words, fill):
    images = IMAGES.clone().requires_grad_()
    loss = multi_label_contrast(images, LABELS, words, 10.0, fill=fill, non_noisy=True)
    loss.backward()
    assert loss.isfinite() and images.grad.isfinite().all()
    assert (loss.item() == 0) == (words[0][0] == "")


def test_pairs_are_each_other_s_only_positives():
    logits = 10 * IMAGES @ LABELS[:, 0].T
    own = torch.arange(2)
    parts = [torch.nn.functional.cross_entropy(each, own) for each in (logits, logits.T)]
    torch.testing.assert_close(symmetric_contrast(IMAGES, LABELS[:, 0], 10.0), sum(parts) / 2)


EPOCH = 2343
RATES = {
    0: 4e-8,
    1171: 8.016594e-6,
    2343: 1.573422e-5,
    14058: 8.2e-6,
    28115: 4.000000e-7,
    28116: 1.6e-5,
    42174: 8.2e-6,
    56232: 4e-7,
    60000: 4e-7,
}


@pytest.mark.parametrize(("iteration", "rate"), RATES.items())
def test_the_rates_of_the_example(iteration, rate):
    schedule = JumpingCosine(1.6e-5, 4e-8, 4e-7, EPOCH, 12 * EPOCH)
    assert schedule(iteration) == pytest.approx(rate, rel=1e-6)


def test_the_schedule_equals_timm_s():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.6e-5)
    theirs = CosineLRScheduler(
        optimizer,
        t_initial=24,
        lr_min=4e-7,
        warmup_lr_init=4e-8,
        warmup_t=5,
        cycle_limit=2,
        t_in_epochs=False,
        warmup_prefix=False,
    )
    ours = JumpingCosine(1.6e-5, 4e-8, 4e-7, 5, 24)
    for iteration in range(60):
        theirs.step_update(iteration)
        assert ours(iteration) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), (
            iteration
        )
