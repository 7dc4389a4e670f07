import numpy as np
import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover, rule_parameters
from boxrefine_d2.discovery.largest_contour import bright_pixels, largest_contour
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap


def test_the_printed_example_with_a_threshold_of_a_tenth_of_the_maximum():
    heatmap = np.zeros((8, 10))
    heatmap[1:5, 1:5] = 0.9
    heatmap[2, 2] = 1.0
    heatmap[6, 6:] = 0.5
    heatmap[0, 9], heatmap[5, 7] = 0.09, 0.1
    bright = bright_pixels(heatmap, 0.1)
    assert not bright[0, 9] and bright[5, 7]
    component, box = largest_contour(bright)
    assert box.tolist() == [1, 1, 5, 5]
    assert np.argwhere(component).tolist() == [[y, x] for y in range(1, 5) for x in range(1, 5)]


def test_the_area_inside_the_contour_decides_and_not_the_number_of_pixels():
    mask = np.zeros((9, 14), dtype=bool)
    mask[0] = True  # 14 pixels with the area 0
    mask[3:6, 3:6] = True  # 9 pixels with the area 4
    component, box = largest_contour(mask)
    assert box.tolist() == [3, 3, 6, 6]
    assert component.sum() == 9
    mask[3:6, 7:10] = True  # the same area; its first pixel comes later
    assert largest_contour(mask)[1].tolist() == [7, 3, 10, 6]


def test_without_a_bright_pixel_the_box_is_the_image():
    for heatmap in (np.zeros((4, 6)), np.full((4, 6), -1.0)):
        component, box = largest_contour(bright_pixels(heatmap, 0.5))
        assert not component.any()
        assert box.tolist() == [0, 0, 6, 4]


def heatmaps_of(*maps, stride=1.0, facet="heatmap", sizes=None):
    data = torch.stack([torch.as_tensor(x, dtype=torch.float32) for x in maps])[:, None]
    whole = [(int(data.shape[2] * stride), int(data.shape[3] * stride))] * len(data)
    return FeatureMap(data, stride, sizes or whole, facet)


def two_blocks():
    """A bright block of 3 x 3 pixels, and a darker one of 4 x 5 pixels."""
    heatmap = np.full((10, 16), 0.05)
    heatmap[1:4, 1:4] = 1.0
    heatmap[5:9, 9:14] = 0.4
    return heatmap


def test_the_rule_takes_the_largest_contour_of_the_bright_part():
    low, high = (
        discover("largest_contour", heatmaps_of(two_blocks()), share=share)[0]
        for share in (0.1, 0.5)
    )
    assert low.boxes.tolist() == [[9, 5, 14, 9]] and low.masks[0].sum() == 20
    assert high.boxes.tolist() == [[1, 1, 4, 4]] and high.masks[0].sum() == 9
    assert low.scores.tolist() == pytest.approx([0.4])
    assert rule_parameters("largest_contour") == {"share": 0.1}


def test_boxes_of_the_rule_are_in_pixels_of_the_input():
    features = heatmaps_of(two_blocks(), stride=8.0, facet="mask", sizes=[(80, 100)])
    [found] = discover("largest_contour", features)
    assert found.boxes.tolist() == [[72, 40, 100, 72]]


def test_an_empty_heatmap_gives_no_box_beside_one_that_does():
    empty, full = discover("largest_contour", heatmaps_of(np.zeros((10, 16)), two_blocks()))
    assert len(empty.boxes) == 0 and len(full.boxes) == 1


def test_a_map_that_is_no_heatmap_is_a_line():
    rule = build_rule("largest_contour")
    keys = FeatureMap(torch.rand(1, 4, 3, 3), 16.0, [(48, 48)], "key")
    with pytest.raises(UserError, match="reads a heatmap of one channel, not the facet 'key' of 4"):
        rule(keys)
    with pytest.raises(UserError, match="reads the facet heatmap or mask"):
        rule.choose_facet(["key", "output"])
    with pytest.raises(UserError, match="share is 0.0"):
        build_rule("largest_contour", share=0.0)
    soft = rule.soft_maps["heatmap"](heatmaps_of(two_blocks()))
    assert soft.shape == (1, 10, 16)
