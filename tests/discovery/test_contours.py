"""Boxes around a heatmap's contours: results of the release at S = 304, and of OpenCV."""

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from scipy import ndimage

from boxrefine_d2.discovery import build_rule, discover, rule_parameters
from boxrefine_d2.discovery.contours import cubehelix_grey
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap
from boxrefine_d2.training.setup import load_config

RELEASE = rule_parameters("contours", load_config("configs/grounding_refine_release.yaml", []))
S = 304


def map_of(*heatmaps, sizes=None) -> FeatureMap:
    data = torch.from_numpy(np.stack(heatmaps)).float()[:, None]
    return FeatureMap(data, 1, sizes or [heatmap.shape for heatmap in heatmaps], "heatmap")


def blobs(*placed, size=(S, S)) -> np.ndarray:
    """Return zeros with blocks (x1, y1, x2, y2, value)."""
    heatmap = np.zeros(size)
    for x1, y1, x2, y2, value in placed:
        heatmap[y1:y2, x1:x2] = value
    return heatmap


def smooth(size, seed) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), 6)
    return 1 / (1 + np.exp(-4 * noise / noise.std()))


def by_opencv(heatmap: np.ndarray) -> list[tuple[int, ...]]:
    """Return the boxes of the release's steps up to the area filter, by the libraries it calls."""
    stretched = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    colours = (matplotlib.colormaps["cubehelix"](stretched)[..., :3] * 255).astype(np.uint8)
    grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    _, kept = cv2.threshold(grey, int(0.5 * grey.max()), 255, cv2.THRESH_TOZERO)
    contours, _ = cv2.findContours(kept, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    found = [cv2.boundingRect(contour) for contour in contours]
    return [
        (x, y, x + w, y + h, kept[y : y + h, x : x + w].mean() / 255)
        for x, y, w, h in found
        if w * h > 0.05 * heatmap.size
    ]


def test_grey_levels_are_those_of_matplotlib_and_opencv():
    colours = (matplotlib.colormaps["cubehelix"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    grey = cv2.cvtColor(colours[None], cv2.COLOR_RGB2GRAY)[0]
    np.testing.assert_array_equal(cubehelix_grey(), grey)
    assert len(np.unique(grey)) == 208
    # grey > 127 where m >= 0.5
    np.testing.assert_array_equal(np.flatnonzero(grey > 127), np.arange(128, 256))


def test_golden_two_blobs_of_the_release():
    heatmap = blobs((20, 20, 120, 120, 1.0), (180, 180, 280, 280, 0.9))
    (found,) = discover("contours", map_of(heatmap), **RELEASE)
    assert found.boxes.tolist() == [[20, 20, 120, 120], [180, 180, 280, 280]]
    torch.testing.assert_close(found.scores, torch.tensor([1.0, 230 / 255]))


def test_golden_a_frame_with_an_empty_hole_is_one_box():
    heatmap = blobs((40, 40, 260, 260, 1.0), (50, 50, 250, 250, 0.0))
    for profile in (RELEASE, {}):
        (found,) = discover("contours", map_of(heatmap), **profile)
        assert found.boxes.tolist() == [[40, 40, 260, 260]]


@pytest.mark.parametrize(("value", "count"), [(0.5, 2), (0.4999, 1)])
def test_golden_half_of_the_maximum_is_bright(value, count):
    heatmap = blobs((20, 20, 120, 120, 1.0), (180, 180, 280, 280, value))
    for profile in (RELEASE, {}):
        (found,) = discover("contours", map_of(heatmap), **profile)
        assert len(found) == count


@pytest.mark.parametrize(
    "heatmap", [np.full((S, S), 0.7), np.zeros((S, S)), blobs((5, 5, 15, 15, 1.0))]
)
def test_without_a_contour_there_is_no_box_or_the_fallback(heatmap):
    (paper,) = discover("contours", map_of(heatmap))
    assert paper.boxes.shape == (0, 4) and paper.scores.shape == (0,)
    (release,) = discover("contours", map_of(heatmap), **RELEASE)
    assert release.boxes.tolist() == [[0, 0, 1, 1]] * 2 and release.scores.tolist() == [0, 0]


def test_a_heatmap_that_is_not_finite_has_no_box():
    heatmap = blobs((20, 20, 120, 120, 1.0))
    for value in (np.nan, np.inf):
        heatmap[0, 0] = value
        (found,) = discover("contours", map_of(heatmap))
        assert len(found) == 0


def test_sizes_read_as_corners_hide_an_overlap():
    """Check (150, 150, 100, 100) and (160, 160, 50, 40), which lies in a hole of the first."""
    heatmap = blobs((150, 150, 250, 250, 0.9), (151, 151, 249, 249, 0.0), (160, 160, 210, 200, 1.0))
    settings = {"min_area": 0.0, "drop_ratio": 0.0}
    quirk, corners = (
        discover("contours", map_of(heatmap), nms_format=form, **settings)[0]
        for form in ("xywh", "xyxy")
    )
    assert [160, 160, 210, 200] in quirk.boxes.tolist()
    assert [150, 150, 250, 250] in quirk.boxes.tolist()
    assert corners.boxes.tolist() == [[160, 160, 210, 200]]


@pytest.mark.parametrize("seed", range(12))
def test_the_release_profile_draws_what_opencv_draws(seed):
    heatmap = smooth((90, 120) if seed % 2 else (S, S), seed).astype(np.float32)
    expected = by_opencv(heatmap)
    settings = {**RELEASE, "nms_iou": 1.0, "drop_ratio": 0.0, "max_objects": 1000}
    (found,) = discover("contours", map_of(heatmap), **settings)
    rows = torch.cat([found.boxes, found.scores[:, None]], dim=1).tolist()
    assert expected, "the case says nothing"
    np.testing.assert_allclose(sorted(rows), sorted(expected), rtol=1e-6)


def test_borders_of_parts_and_holes_are_suzukis():
    generator = np.random.default_rng(0)
    for _ in range(60):
        noise = ndimage.gaussian_filter(generator.normal(size=generator.integers(5, 50, 2)), 0.8)
        mask = noise > generator.normal() * noise.std() / 2
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        )
        expected = sorted((x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, contours))
        settings = {"min_area": 0.0, "nms_iou": 1.0, "drop_ratio": 0.0, "max_objects": 10000}
        (found,) = discover("contours", map_of(mask.astype(float)), **settings)
        boxes = sorted(map(tuple, found.boxes.int().tolist()))
        assert boxes == (expected if not mask.all() else [])  # a full mask is a constant heatmap


def test_scores_are_means_of_the_map_best_first_at_most_k():
    heatmap = blobs((0, 0, 100, 100, 0.8), (0, 0, 50, 100, 0.9), (150, 0, 250, 100, 1.0))
    (found,) = discover("contours", map_of(heatmap))
    assert found.boxes.tolist() == [[150, 0, 250, 100], [0, 0, 100, 100]]
    torch.testing.assert_close(found.scores, torch.tensor([1.0, 0.85]))
    (first,) = discover("contours", map_of(heatmap), max_objects=1)
    assert first.boxes.tolist() == [[150, 0, 250, 100]]


def test_a_box_of_less_than_half_of_the_best_score_is_dropped():
    ring = blobs((0, 0, 100, 100, 0.6), (10, 10, 90, 90, 0.0), (150, 0, 250, 100, 1.0))
    (found,) = discover("contours", map_of(ring))
    assert found.boxes.tolist() == [[150, 0, 250, 100]]  # the ring's mean is 0.216
    (all_of_it,) = discover("contours", map_of(ring), drop_ratio=0.2)
    assert len(all_of_it) == 2


def test_batched_is_single_and_padding_is_cut_off():
    one, other = blobs((10, 10, 60, 60, 1.0), size=(80, 100)), smooth((80, 100), 3)
    one[70:, :] = 5.0  # in the padding
    sizes = [(70, 100), (80, 100)]
    together = discover("contours", map_of(one, other, sizes=sizes))
    alone = [
        discover("contours", map_of(heatmap, sizes=[size]))[0]
        for heatmap, size in zip((one, other), sizes, strict=True)
    ]
    assert together[0].boxes.tolist() == [[10, 10, 60, 60]]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.boxes, b.boxes)
        assert a.input_size == b.input_size


def test_mistakes_are_named():
    for name, value in (("score", "sum"), ("nms_format", "cxcywh"), ("fallback", "image")):
        with pytest.raises(UserError, match=f"contours: {name} is '{value}': must be one of "):
            build_rule("contours", **{name: value})
    with pytest.raises(UserError, match="max_objects is 0"):
        build_rule("contours", max_objects=0)
    keys = FeatureMap(torch.zeros(1, 3, 4, 4), 16, [(64, 64)])
    with pytest.raises(UserError, match="contours reads a heatmap of one channel"):
        discover("contours", keys)
