import numpy as np
import pytest

from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.errors import UserError
from boxrefine_d2.grounding import proposals as module
from boxrefine_d2.grounding.proposals import proposals

SIDE = 224


def flat():
    return np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)


def scene():
    return np.ascontiguousarray(render_scene("val", 3).image[:SIDE, :SIDE])


def grid_alone(monkeypatch, regions=()):
    boxes = np.array(regions, dtype=np.int64).reshape(-1, 4)
    monkeypatch.setattr(module, "_selective_search", lambda image, search_input: boxes)


def test_the_papers_grid(monkeypatch):
    """Squares have 113 and 75 pixels a side, cut at the border.

    Those of 57 pixels have an area of 3 249 of the 5 017.6 pixels needed.
    """
    grid_alone(monkeypatch)
    boxes = proposals(flat(), search_input="uint8", min_area=0.1)
    assert len(boxes) == 4 + 9
    assert boxes[:4].tolist() == [
        [0, 0, 113, 113],
        [113, 0, 224, 113],
        [0, 113, 113, 224],
        [113, 113, 224, 224],
    ]
    assert boxes[4].tolist() == [0, 0, 75, 75] and boxes[-1].tolist() == [150, 150, 224, 224]
    assert len(proposals(flat(), search_input="uint8", min_area=0.05)) == 4 + 9 + 16


def test_small_regions_are_left_out_and_others_occur_once(monkeypatch):
    grid_alone(monkeypatch, [(0, 0, 113, 113), (0, 0, 100, 50), (0, 0, 100, 51)])
    boxes = proposals(flat(), search_input="uint8", min_area=0.1).tolist()
    assert boxes.count([0, 0, 113, 113]) == 1
    assert [0, 0, 100, 50] not in boxes and [0, 0, 100, 51] in boxes  # 5 000 and 5 100 pixels


@pytest.mark.parametrize("search_input", ["uint8", "float"])
def test_selective_search_finds_regions_in_the_same_order_each_time(search_input):
    first = proposals(scene(), search_input=search_input, min_area=0.1)
    again = proposals(scene(), search_input=search_input, min_area=0.1)
    assert len(first) > 13 and np.array_equal(first, again)
    x1, y1, x2, y2 = first.T
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= SIDE) & (y1 >= 0) & (y1 < y2) & (y2 <= SIDE)).all()


def test_both_inputs_of_selective_search_differ():
    boxes_of = {
        name: proposals(scene(), search_input=name, min_area=0.1) for name in module.SEARCH_INPUTS
    }
    assert not np.array_equal(boxes_of["uint8"], boxes_of["float"])


def test_an_image_without_edges_has_the_grid():
    boxes = proposals(flat(), search_input="uint8", min_area=0.1).tolist()
    assert [0, 0, 113, 113] in boxes


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(
        UserError, match="LOOKING.SEARCH_INPUT 'bgr' is unknown; known: uint8, float"
    ):
        proposals(flat(), search_input="bgr", min_area=0.1)
    monkeypatch.setitem(__import__("sys").modules, "cv2", object())
    with pytest.raises(UserError, match=r"pip install 'boxrefine_d2\[opencv-contrib\]'"):
        proposals(flat(), search_input="uint8", min_area=0.1)
