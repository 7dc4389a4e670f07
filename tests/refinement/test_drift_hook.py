import torch

from boxrefine_d2.refinement.drift import DriftSignals
from boxrefine_d2.refinement.drift_hook import check_row


def test_corloc_of_a_check_by_hand_and_none_without_labels():
    """The box overlaps (16, 0, 48, 40), not (0, 0, 20, 64); the third image has no label."""
    boxes = torch.tensor([[16.0, 0.0, 48.0, 64.0]]).expand(3, 4)
    far, near = torch.tensor([[0.0, 0.0, 20.0, 64.0]]), torch.tensor([[16.0, 0.0, 48.0, 40.0]])
    none = near[:0]
    signals = DriftSignals(flip_agreement=0.5, area_ratio=1.0, feature_shift=0.25)
    row = {"iteration": 7, "flip_agreement": 0.5, "area_ratio": 1.0, "feature_shift": 0.25}
    assert check_row(7, signals, boxes, [none] * 3) == row
    assert check_row(7, signals, boxes, [torch.cat([far, near]), far, none]) == row | {
        "corloc": 50.0
    }
