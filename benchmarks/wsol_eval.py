"""MaxBoxAcc, MaxBoxAccV2 and PxAP of score maps of 7, 14 and 28 cells, in a frame of 224 pixels."""

import numpy as np
from numpy.typing import NDArray
from published_wsol import Evaluation, in_frame
from timing import Pairs, Result
from tqdm import tqdm

from boxrefine_d2.evaluation.box_accuracy import IOUS, BoxAccuracy
from boxrefine_d2.evaluation.pixel_precision import PixelCounts
from boxrefine_d2.evaluation.score_maps import normalised

SIDE, CELLS, MAPS, ROUNDS = 224, (7, 14, 28), 12, 5
TARGET = 8.0

Image = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]


def wsol_eval() -> Result:
    """Measure rounds of maps; every round has other maps."""
    pairs, result_failed = Pairs(), []
    for number in tqdm(range(ROUNDS), unit="round"):
        images = [image(number * MAPS + k, CELLS[k % len(CELLS)]) for k in range(MAPS)]
        published, ours = pairs.add(lambda: _published(images), lambda: _ours(images), MAPS)  # noqa: B023
        result_failed += _differences(published, *ours)
    return Result(pairs, "map", TARGET, failed=result_failed)


def image(seed: int, cells: int) -> Image:
    """Return a map with a bright spot on an object, the object's box and its mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:cells, :cells] / cells
    centre, radius = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.3)
    spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2)
    scores = spot + 0.3 * rng.random((cells, cells))
    start = np.clip((SIDE * (centre - radius)).astype(np.int64), 0, SIDE - 2)
    end = np.clip((SIDE * (centre + radius)).astype(np.int64), 1, SIDE - 1)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[start[1] : end[1] + 1, start[0] : end[0] + 1] = True
    return scores, np.array([[*start, *end]]), mask


def _published(images: list[Image]) -> Evaluation:
    evaluation = Evaluation()
    for scores, boxes, mask in images:
        evaluation.add(in_frame(scores, SIDE), boxes, mask)
    return evaluation


def _ours(images: list[Image]) -> tuple[BoxAccuracy, PixelCounts]:
    accuracy, pixels = BoxAccuracy(), PixelCounts()
    for scores, boxes, mask in images:
        framed = normalised(scores, (SIDE, SIDE), "minmax", "map")
        accuracy.add(framed, boxes)
        pixels.add(framed, mask)
    return accuracy, pixels


def _differences(published: Evaluation, accuracy: BoxAccuracy, pixels: PixelCounts) -> list[str]:
    failed = []
    for row, iou in enumerate(IOUS):
        for name, one, other in (
            ("largest", published.largest[row], accuracy.largest[iou]),
            ("any", published.any_box[row], accuracy.any_box[iou]),
        ):
            if not np.array_equal(one, other):
                failed.append(f"{name} box, IoU {iou} %: {(one != other).sum()} thresholds differ")
    moved = np.abs(published.pixels - pixels.counts).sum() / 2
    # a score within rounding of an edge of a bin may lie on either side
    if moved > 1e-4 * pixels.counts.sum():
        failed.append(f"{moved:.0f} pixels lie in other bins")
    return failed
