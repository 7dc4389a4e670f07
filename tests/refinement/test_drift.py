import copy
import re

import pytest
import torch

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.refinement.drift import DriftLimits, DriftProbe, DriftSignals
from boxrefine_d2.structures import PseudoBoxes

START = DriftSignals(flip_agreement=0.6, area_ratio=1.0, feature_shift=0.0)
LIMITS = DriftLimits(agreement_loss=0.05, area_factor=1.5, feature_shift=0.5)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (DriftSignals(0.56, 1.4, 0.4), None),
        (DriftSignals(0.54, 1.0, 0.1), "agreement .* fell by 0.060, to 0.540"),
        (DriftSignals(0.60, 1.6, 0.1), "factor of 1.60"),
        (DriftSignals(0.60, 0.6, 0.1), "factor of 0.60"),
        (DriftSignals(0.60, 1.0, 0.6), "moved by 0.60"),
    ],
)
def test_limits(now, expected):
    reason = LIMITS.exceeded(now, START)
    assert reason is None if expected is None else re.search(expected, reason)


@pytest.fixture(scope="module")
def network():
    return build_backbone("dino_mini", "random:0")


def images(count=3):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_start_has_no_drift_and_a_changed_network_has(network):
    rule = build_rule("lost")
    probe = DriftProbe(images(), network, rule, batch_size=2)
    assert (probe.start.area_ratio, probe.start.feature_shift) == (1.0, 0.0)
    assert 0 < probe.start.flip_agreement <= 1
    moved = copy.deepcopy(network).train()
    with torch.no_grad():
        moved.blocks[-1].attn.qkv.weight.mul_(1.5)
    now, boxes = probe.measure(moved)
    assert moved.training
    # biases are 0: every key is 1.5 times as long, and every box is the same
    assert now.feature_shift == pytest.approx(0.5, rel=1e-4)
    assert boxes.equal(probe.start_boxes) and now.area_ratio == 1.0
    assert now.flip_agreement == pytest.approx(probe.start.flip_agreement)


def test_agreement_by_hand(network):
    """The rule finds (8, 0, 24, 64) on every image; mirrored back in 64 pixels: (40, 0, 56, 64)."""
    box = torch.tensor([[8.0, 0.0, 24.0, 64.0]])

    def always(features):
        return [PseudoBoxes(box, torch.ones(1), (64, 64)) for _ in features.image_sizes]

    assert DriftProbe(images(), network, always, batch_size=3).start.flip_agreement == 0.0
    middle = torch.tensor([[16.0, 0.0, 48.0, 64.0]])

    def centred(features):
        return [PseudoBoxes(middle, torch.ones(1), (64, 64)) for _ in features.image_sizes]

    assert DriftProbe(images(), network, centred, batch_size=3).start.flip_agreement == 1.0
