"""Box accuracy over thresholds: worked examples, and every threshold computed on its own."""

import numpy as np
import pytest
from scipy import ndimage

from boxrefine_d2.evaluation.box_accuracy import THRESHOLDS, BoxAccuracy, LevelBoxes, frame_boxes

FIVE = np.array([0, 0.2, 0.4, 0.6, 0.8])
A = np.array(
    [[0, 0, 0, 0, 0], [0, 0.4, 0.4, 0.4, 0.6], [0, 0.4, 1, 0.8, 0.6], [0, 0.4, 0.4, 0.4, 0.6]]
)
B = np.array(
    [[0.4, 0, 0.2, 0.2, 0.2], [0.4, 0.4, 0, 0.4, 0], [0, 0, 0, 0.4, 0], [1, 0.6, 0.8, 0.2, 0.2]]
)


def boxes_at(scores, thresholds):
    found = LevelBoxes.of(scores)
    levels = found.levels_of(thresholds)
    largest = found.boxes[found.largest[levels]].tolist()
    return largest, [found.boxes[found.level == level].tolist() for level in levels]


def test_boxes_of_one_blob():
    largest, every = boxes_at(A, FIVE)
    assert largest == [[1, 1, 4, 3], [1, 1, 4, 3], [2, 1, 4, 3], [2, 2, 4, 3], [2, 2, 3, 3]]
    assert every == [[box] for box in largest]


def test_boxes_of_several_blobs():
    largest, every = boxes_at(B, FIVE)
    assert largest == [[0, 0, 4, 3], [0, 0, 2, 2], [0, 3, 3, 3], [2, 3, 3, 3], [0, 3, 1, 3]]
    assert [0, 1, 4, 3] in every[1]
    assert [0, 3, 1, 3] in every[3]


def test_a_map_of_zeros_has_an_empty_box():
    assert boxes_at(np.zeros((4, 5)), FIVE)[0] == [[0, 0, 0, 0]] * 5


def test_accuracy_by_the_largest_and_by_any_contour():
    accuracy = BoxAccuracy(FIVE)
    accuracy.add(A, np.array([[2, 1, 4, 3]]))
    accuracy.add(B, np.array([[1, 1, 4, 3]]))
    best = {iou: curve.max() for iou, curve in accuracy.curves(of_any=False).items()}
    assert best == {30: 100, 50: 100, 70: 50}
    best = {iou: curve.max() for iou, curve in accuracy.curves(of_any=True).items()}
    assert best == {30: 100, 50: 100, 70: 100}


def test_the_iou_counts_both_corners():
    """Boxes 1, 2, 5, 6 and 3, 1, 4, 5 share 8 of 27 pixels."""
    scores = np.zeros((7, 6))
    scores[2:6, 1:5] = 1
    assert set(map(tuple, LevelBoxes.of(scores).boxes.tolist())) == {(1, 2, 5, 6)}
    for iou, right in ((29, True), (30, False)):
        found = LevelBoxes.of(scores).hits(np.array([[3, 1, 4, 5]]), iou)
        assert [hit.all() for hit in found] == [right, right]


def test_boxes_are_scaled_to_the_frame_and_truncated():
    assert frame_boxes(np.array([[1.0, 2, 4, 3]]), (20, 10), (10, 35)).tolist() == [[3, 1, 14, 1]]


def by_threshold(scores: np.ndarray, truth: np.ndarray, iou: int) -> tuple[list, list]:
    """Return whether the largest and whether any contour is right at each threshold."""
    greys = (scores * 255).astype(np.uint8)
    largest, of_any = [], []
    for threshold in THRESHOLDS:
        mask = np.pad(greys > int(threshold * greys.max()), 1)
        components, count = ndimage.label(mask, np.ones((3, 3)))
        holes, hole_count = ndimage.label(~mask)
        outer = [components == number for number in range(1, count + 1)]
        inner = [holes == number for number in range(1, hole_count + 1) if number != holes[0, 0]]
        sizes = [(area_of(region), -np.flatnonzero(region)[0]) for region in outer]
        # the last component comes first among equals
        best = max(range(count), key=lambda k: (sizes[k][0], -sizes[k][1])) if count else None
        boxes = [box_of(region, 0, scores.shape) for region in outer]
        boxes += [box_of(region, 1, scores.shape) for region in inner]
        boxes = boxes or [(0, 0, 0, 0)]
        hits = [max(overlap(box, other) for other in truth) >= iou / 100 for box in boxes]
        largest.append(hits[best or 0])
        of_any.append(any(hits))
    return largest, of_any


def area_of(region):
    filled = ndimage.binary_fill_holes(region).astype(int)
    held = filled[:-1, :-1] + filled[1:, :-1] + filled[:-1, 1:] + filled[1:, 1:]
    return (held == 4).sum() + 0.5 * (held == 3).sum()


def box_of(region, margin, shape):
    rows, columns = np.nonzero(region[1:-1, 1:-1])
    ends = columns.max() + margin + 1, rows.max() + margin + 1
    last = shape[1] - 1, shape[0] - 1
    return columns.min() - margin, rows.min() - margin, min(ends[0], last[0]), min(ends[1], last[1])


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    common = max(width, 0) * max(height, 0)
    areas = [(x2 - x1 + 1) * (y2 - y1 + 1) for x1, y1, x2, y2 in (one, other)]
    return common / (sum(areas) - common)


@pytest.mark.parametrize("seed", range(10))
def test_each_threshold_alone_gives_the_same_accuracy(seed):
    rng = np.random.default_rng(seed)
    scores = ndimage.gaussian_filter(rng.random((9, 11)), seed % 3 / 2)
    scores = np.clip((scores - scores.min()) / np.ptp(scores), 0, 1)
    if seed % 2:
        scores = np.floor(scores * 4) / 4
    starts = rng.integers(0, 6, size=(2, 2))
    truth = np.concatenate([starts, starts + rng.integers(2, 5, size=(2, 2))], axis=1)
    accuracy = BoxAccuracy()
    accuracy.add(scores, truth)
    for iou in (30, 50, 70):
        largest, of_any = by_threshold(scores, truth, iou)
        assert accuracy.largest[iou].tolist() == [int(hit) for hit in largest]
        assert accuracy.any_box[iou].tolist() == [int(hit) for hit in of_any]
