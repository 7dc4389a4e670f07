import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery.dino_seg import strongest
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap


def attention_map(*boxes, grid=(6, 8), heads=6, head=4, image=None) -> FeatureMap:
    """Return a map in which one head's attention is even inside boxes, and 0 outside.

    The attention of the other heads lies elsewhere.

    Args: boxes: (x1, y1, x2, y2) in cells.
    """
    h, w = grid
    data = torch.full((1, heads, h, w), 1e-9)
    data[:, [i for i in range(heads) if i != head], h - 1, w - 1] = 1.0
    for x1, y1, x2, y2 in boxes:
        data[:, head, y1:y2, x1:x2] = 1.0
    return FeatureMap(data, 16, [image or (h * 16, w * 16)], "attention")


ALL = {"mass": 0.999}  # no cell of even attention in the boxes is removed


def test_the_strongest_cells_hold_the_mass():
    shares = torch.tensor([[0.1, 0.3, 0.35, 0.25]])
    assert strongest(shares, 0.6).tolist() == [[False, True, True, False]]  # 0.1 + 0.25 are removed
    assert strongest(shares, 0.7).tolist() == [[False, True, True, True]]


def test_one_component_and_the_defect_of_the_release():
    """Check the appendix of the specification: the official box is that of the background."""
    features = attention_map((1, 1, 3, 3))
    assert discover("dino_seg", features, **ALL)[0].boxes.tolist() == [[16, 16, 48, 48]]
    assert discover("dino_seg", features, component="release", **ALL)[0].boxes.tolist() == [
        [0, 0, 128, 96]
    ]


def test_of_two_components_the_release_takes_the_first_and_of_three_never_the_last():
    small, large, larger = (0, 0, 1, 2), (3, 0, 5, 2), (3, 3, 8, 6)
    two = attention_map(small, larger)
    assert discover("dino_seg", two, **ALL)[0].boxes.tolist() == [[48, 48, 128, 96]]
    assert discover("dino_seg", two, component="release", **ALL)[0].boxes.tolist() == [
        [0, 0, 16, 32]
    ]
    three = attention_map(small, large, larger)
    assert discover("dino_seg", three, component="release", **ALL)[0].boxes.tolist() == [
        [48, 0, 80, 32]
    ]


def test_score_box_and_further_objects():
    features = attention_map((1, 1, 3, 3), (5, 2, 8, 6), image=(90, 121))
    (found,) = discover("dino_seg", features, max_objects=3, **ALL)
    assert found.boxes.tolist() == [[80, 32, 121, 90], [16, 16, 48, 48]]
    assert found.scores[0].item() == pytest.approx(12 / 16, abs=1e-6)
    assert found.scores[1] < found.scores[0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"component": "first"}, "one of 'largest', 'release'"), ({"mass": 1.0}, "mass is 1.0")],
)
def test_mistakes_are_named(parameters, message):
    with pytest.raises(UserError, match=message):
        build_rule("dino_seg", **parameters)


def test_a_head_that_is_not_there_is_named():
    with pytest.raises(UserError, match="head is 4, and the network has heads 0 to 2; set one of"):
        discover("dino_seg", attention_map((0, 0, 1, 1), heads=3, head=1))
