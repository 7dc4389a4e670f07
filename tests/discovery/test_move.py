"""The box of MOVE's mask: golden values by hand, and OpenCV's components as in the release."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from boxrefine_d2.discovery import DISCOVERY_REGISTRY, build_rule, discover, rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

RELEASE = {"rank_by": "rectangle", "maxima": "inclusive", "fallback": "square"}


def map_of(*masks: np.ndarray, sizes=None) -> FeatureMap:
    data = torch.from_numpy(np.stack(masks)).float()[:, None]
    return FeatureMap(data, 1, sizes or [mask.shape for mask in masks], "mask")


def planted(size, *boxes, inside=0.9, outside=0.1) -> np.ndarray:
    """Return a mask (H, W) float64 with rectangles (x1, y1, x2, y2), half-open."""
    mask = np.full(size, outside)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = inside
    return mask


def block_and_angle() -> np.ndarray:
    """Return a mask with a block of 200 pixels and an L of 36 pixels.

    The rectangle of the L, 21 x 16, is larger than the block's.
    """
    return planted((40, 60), (5, 5, 25, 15), (30, 20, 31, 36), (30, 35, 51, 36))


def smooth_mask(size, seed) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=size)
    smooth = ndimage.gaussian_filter(noise, 2.5)
    return 1 / (1 + np.exp(-8 * smooth / smooth.std() + 4))


def by_opencv(mask: np.ndarray, *, rank_by: str, inclusive: bool) -> list[int]:
    """Return the box of the release's steps."""
    height, width = mask.shape
    count, ids, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    best, box = -1, [0, 0, height - 1, height - 1] if inclusive else [0, 0, width, height]
    for label in range(1, count):
        x, y, w, h = cv2.boundingRect((ids == label).astype(np.uint8))
        size = w * h if rank_by == "rectangle" else stats[label, cv2.CC_STAT_AREA]
        if w * h > (0.05 * height) ** 2 and size >= best:
            best, box = size, [x, y, x + w - inclusive, y + h - inclusive]
    return box


def test_golden_release_ranks_rectangles_with_inclusive_maxima():
    (found,) = discover("move", map_of(block_and_angle()), **RELEASE)
    assert found.boxes.tolist() == [[30, 20, 50, 35]]
    assert found.masks.sum() == 36


def test_golden_paper_ranks_pixels_with_exclusive_maxima():
    (found,) = discover("move", map_of(block_and_angle()))
    assert found.boxes.tolist() == [[5, 5, 25, 15]]
    assert found.masks.sum() == 200
    assert found.scores.tolist() == pytest.approx([0.9])


def test_golden_empty_mask():
    empty = map_of(np.zeros((40, 60)))
    assert discover("move", empty, **RELEASE)[0].boxes.tolist() == [[0, 0, 39, 39]]
    (found,) = discover("move", empty)
    assert found.boxes.tolist() == [[0, 0, 60, 40]]
    assert found.scores.tolist() == [0]
    assert found.masks.shape == (1, 40, 60)


def test_the_square_of_a_tall_image_is_cut_at_its_border():
    (found,) = discover("move", map_of(np.full((60, 40), 0.3)), **RELEASE)
    assert found.boxes.tolist() == [[0, 0, 40, 59]]
    assert found.scores.tolist() == pytest.approx([0.3])


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (33, 47)])
@pytest.mark.parametrize("profile", [{}, RELEASE], ids=["paper", "release"])
def test_boxes_are_those_of_opencv(size, profile):
    masks = [smooth_mask(size, seed) for seed in range(12)]
    found = discover("move", map_of(*masks), **profile)
    rank_by = profile.get("rank_by", "pixels")
    expected = [by_opencv(np.float32(m), rank_by=rank_by, inclusive=bool(profile)) for m in masks]
    assert [boxes.boxes[0].tolist() for boxes in found] == expected
    assert len({tuple(box) for box in expected}) > 6


@pytest.mark.parametrize("size", [(50, 80), (80, 50)])
@pytest.mark.parametrize("box", [(2, 3, 12, 9), (30, 20, 49, 48)])
def test_planted_object_is_found_exactly(size, box):
    (found,) = discover("move", map_of(planted(size, box)))
    assert found.boxes.tolist() == [list(box)]
    assert found.input_size == size
    assert np.array_equal(found.masks[0].numpy(), planted(size, box) > 0.5)


def test_box_follows_a_flip():
    mask = block_and_angle()
    assert discover("move", map_of(mask[:, ::-1].copy()))[0].boxes.tolist() == [[35, 5, 55, 15]]
    assert discover("move", map_of(mask[::-1].copy()))[0].boxes.tolist() == [[5, 25, 25, 35]]


def test_components_touch_at_corners():
    mask = planted((40, 40), (5, 5, 10, 10), (10, 10, 20, 20))
    assert discover("move", map_of(mask))[0].boxes.tolist() == [[5, 5, 20, 20]]


def test_the_threshold_is_exceeded_not_met():
    mask = planted((40, 40), (5, 5, 15, 15), inside=0.5)
    mask[20:23, 20:23] = 0.51
    assert discover("move", map_of(mask))[0].boxes.tolist() == [[20, 20, 23, 23]]
    found = discover("move", map_of(mask), mask_thresh=0.4)
    assert found[0].boxes.tolist() == [[5, 5, 15, 15]]


def test_small_components_are_left_out_by_the_height_of_the_image():
    # 5 % of 100 rows: the rectangle must exceed 25 pixels, though the image is 300 wide
    too_small, enough = planted((100, 300), (7, 8, 12, 13)), planted((100, 300), (7, 8, 20, 10))
    assert discover("move", map_of(too_small))[0].boxes.tolist() == [[0, 0, 300, 100]]
    assert discover("move", map_of(enough))[0].boxes.tolist() == [[7, 8, 20, 10]]
    assert discover("move", map_of(enough.T.copy()))[0].boxes.tolist() == [[0, 0, 100, 300]]


@pytest.mark.parametrize("rank_by", ["pixels", "rectangle"])
def test_of_equals_the_later_one_in_raster_order_wins(rank_by):
    mask = planted((40, 60), (40, 2, 50, 8), (4, 10, 10, 20), (20, 10, 30, 16))
    (found,) = discover("move", map_of(mask), rank_by=rank_by)
    assert found.boxes.tolist() == [[20, 10, 30, 16]]


def test_a_batch_gives_what_each_image_gives_without_its_padding():
    sizes = [(40, 60), (37, 58), (33, 64)]
    inputs = [smooth_mask((40, 64), seed) for seed in range(3)]
    together = discover("move", map_of(*inputs, sizes=sizes))
    for found, mask, (height, width) in zip(together, inputs, sizes, strict=True):
        (alone,) = discover("move", map_of(mask[:height, :width].copy()))
        assert torch.equal(found.boxes, alone.boxes)
        assert torch.equal(found.scores, alone.scores)
        assert torch.equal(found.masks[:, :height, :width], alone.masks)
        assert found.masks.shape == (1, 40, 64)
        assert found.masks.sum() == alone.masks.sum()


def test_what_lies_in_the_padding_only_is_not_seen():
    mask = planted((48, 64), (50, 42, 64, 48), (5, 5, 10, 12))
    (found,) = discover("move", map_of(mask, sizes=[(40, 60)]))
    assert found.boxes.tolist() == [[5, 5, 10, 12]]
    (nothing,) = discover("move", map_of(mask, sizes=[(4, 4)]))
    assert nothing.boxes.tolist() == [[0, 0, 4, 4]]
    assert nothing.masks.nonzero().max(dim=0).values.tolist() == [0, 3, 3]


def test_score_is_the_mean_of_the_mask_inside_the_component():
    mask = planted((40, 60), (5, 5, 15, 15), inside=0.6)
    mask[5:10, 5:15] = 1.0
    (found,) = discover("move", map_of(mask))
    assert found.scores.tolist() == pytest.approx([0.8])


def test_further_components_come_on_request_the_largest_first():
    mask = planted((50, 80), (1, 1, 6, 6), (10, 10, 30, 30), (40, 5, 50, 25), (60, 40, 64, 43))
    features = map_of(mask)
    assert len(discover("move", features)[0]) == 1
    (found,) = discover("move", features, max_objects=9, min_area=25 / 4000)
    assert found.boxes.tolist() == [[10, 10, 30, 30], [40, 5, 50, 25], [1, 1, 6, 6]]
    assert found.masks.flatten(1).sum(dim=1).tolist() == [400, 200, 25]
    (two,) = discover("move", features, max_objects=2)
    assert two.boxes.tolist() == found.boxes.tolist()[:2]
    # the first is never left out
    assert len(discover("move", features, max_objects=3, min_area=0.5)[0]) == 1


def test_heatmap_is_the_mask_with_its_gradient():
    features = map_of(smooth_mask((24, 40), 0), smooth_mask((24, 40), 1))
    features.data.requires_grad_()
    heatmap = build_rule("move").heatmap(features)
    assert torch.equal(heatmap, features.data[:, 0])
    heatmap[1, 2, 3].backward()
    assert features.data.grad.nonzero().tolist() == [[1, 0, 2, 3]]


def test_defaults_come_from_the_paper_profile():
    assert rule_parameters("move") == {
        "mask_thresh": 0.5,
        "min_side": 0.05,
        "rank_by": "pixels",
        "maxima": "exclusive",
        "fallback": "image",
        "max_objects": 1,
        "min_area": 0.01,
    }
    assert DISCOVERY_REGISTRY.get("move").facets == ("mask",)


def test_mistakes_are_named():
    features = map_of(block_and_angle())
    with pytest.raises(UserError, match="rank_by is 'area': must be one of 'pixels', 'rectangle'"):
        discover("move", features, rank_by="area")
    with pytest.raises(UserError, match="fallback is 'none': must be one of 'image', 'square'"):
        discover("move", features, fallback="none")
    with pytest.raises(UserError, match="max_objects is 0"):
        discover("move", features, max_objects=0)
    keys = FeatureMap(torch.zeros(1, 8, 4, 5), 16, [(64, 80)], "key")
    with pytest.raises(UserError, match="not the facet 'key' of 8 channels; use a segmenter"):
        discover("move", keys)
