"""Scores of a localiser per image, for paired intervals.

The maps of the validation images choose one threshold, with which the test images are scored. Maps
are resized to 224 x 224 pixels and scaled to [0, 1] as for `boxrefine evaluate`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from boxrefine_d2.data import load_spec
from boxrefine_d2.evaluation import GroundTruth
from boxrefine_d2.evaluation.bootstrap import INTERVAL, Estimate
from boxrefine_d2.evaluation.box_accuracy import LevelBoxes, frame_boxes
from boxrefine_d2.evaluation.corloc import is_localised
from boxrefine_d2.evaluation.pixel_precision import PixelCounts
from boxrefine_d2.evaluation.predictions import best_entries, read_predictions
from boxrefine_d2.evaluation.score_maps import normalised, read_score_map
from boxrefine_d2.masks.coding import decode_mask

FRAME = (224, 224)
THRESHOLDS = np.arange(0.0, 1.0, 0.05)
IOUS = (50, 70, 80)
BIN = 0.01
DRAWS = 2000


@dataclass(frozen=True)
class Scores:
    """Scores of one source on one data set, N images in the order of the data.

    Attributes:
        of_file: (N, 3) whether the box of the file has the IoU of `IOUS`.
        of_map: (T, N, 3) the same for the box of the largest contour at each threshold.
        pixels: (N, 2, bins) counts of pixels, see `PixelCounts`; 0 for data without masks.
    """

    of_file: np.ndarray
    of_map: np.ndarray
    pixels: np.ndarray

    def best_threshold(self) -> int:
        """Return the place of the threshold with the most boxes of an IoU of 0.5."""
        return int(self.of_map[:, :, 0].mean(axis=1).argmax())

    def hits(self, of: str, iou: int, threshold: int) -> np.ndarray:
        """Return the hits (N,). Args: of: "file" or "map"."""
        column = IOUS.index(iou)
        return self.of_file[:, column] if of == "file" else self.of_map[threshold, :, column]


def scores_of(folder: Path, spec: str) -> Scores:
    """Return the scores of `localization.json` in a folder."""
    records = load_spec(spec).records
    boxes = GroundTruth(spec, records).boxes()
    has_masks = all(a.get("segmentation") for record in records for a in record["annotations"])
    entries = best_entries(read_predictions(folder / "localization.json"))
    of_file, of_map, pixels = [], [], []
    for record in records:
        entry, truth = entries[record["image_id"]], boxes[record["image_id"]]
        x, y, width, height = entry["bbox"]
        of_file.append(_hits([x, y, x + width, y + height], truth))
        heatmap = normalised(read_score_map(folder / entry["heatmap"]), FRAME, "minmax", "map")
        size = record["height"], record["width"]
        found = LevelBoxes.of(heatmap)
        in_frame = frame_boxes(truth.numpy(), size, FRAME)
        largest = np.stack([found.hits(in_frame, iou)[0] for iou in IOUS], axis=1)
        of_map.append(largest[found.levels_of(THRESHOLDS)])
        counts = PixelCounts(BIN)
        if has_masks:
            counts.add(heatmap, _mask(record))
        pixels.append(counts.counts)
    return Scores(np.array(of_file), np.array(of_map).swapaxes(0, 1), np.array(pixels))


def centred_box(val: str, test: str) -> dict[str, Any]:
    """Return the hits on test images of the centred box that is best on validation images.

    Returns: {"scale": share of each side, "hits": {IoU in percent: text of 0 and 1}}.
    """
    scales = np.arange(0.1, 1.01, 0.05)
    rates = [_centred_hits(val, scale)[:, 0].mean() for scale in scales]
    scale = float(scales[int(np.argmax(rates))])
    hits = _centred_hits(test, scale)
    texts = {
        str(iou): "".join(str(int(x)) for x in hits[:, column]) for column, iou in enumerate(IOUS)
    }
    return {"scale": scale, "hits": texts}


def _centred_hits(spec: str, scale: float) -> np.ndarray:
    """Return the hits (N, 3) of a box in the centre of each image."""
    records = load_spec(spec).records
    truth = GroundTruth(spec, records).boxes()
    sizes = [(record["width"], record["height"]) for record in records]
    low, high = (1 - scale) / 2, (1 + scale) / 2
    boxes = [[low * w, low * h, high * w, high * h] for w, h in sizes]
    pairs = zip(records, boxes, strict=True)
    return np.array([_hits(box, truth[record["image_id"]]) for record, box in pairs])


def _hits(box: list[float], truth: Tensor) -> list[bool]:
    return [is_localised(box, truth, iou / 100) for iou in IOUS]


def _mask(record: dict) -> np.ndarray:
    """Return the pixels of objects in the frame."""
    size = record["height"], record["width"]
    rows, columns = (np.arange(FRAME[0]) * side // FRAME[0] for side in size)
    masks = [decode_mask(a["segmentation"], size) for a in record["annotations"]]
    return np.any(masks, axis=0)[np.ix_(rows, columns)]


def pxap(pixels: np.ndarray) -> float:
    """Return PxAP of pooled counts (2, bins)."""
    pooled = PixelCounts(BIN)
    pooled.counts = pixels
    return pooled.average_precision()


def pxap_gain(before: list[np.ndarray], after: list[np.ndarray], seed: int = 0) -> Estimate:
    """Return the gain in PxAP with its interval: a paired bootstrap over images and seeds.

    Args: before, after: (N, 2, bins) of each seed.
    """
    rng, images = np.random.default_rng(seed), len(before[0])
    gains = []
    for draw in range(DRAWS + 1):
        runs = rng.integers(len(before), size=len(before))
        weights = np.bincount(rng.integers(images, size=images), minlength=images)
        if draw == 0:  # the estimate itself
            runs, weights = np.arange(len(before)), np.ones(images, np.int64)
        means = [
            np.mean([pxap(np.tensordot(weights, part[run], axes=1)) for run in runs])
            for part in (before, after)
        ]
        gains.append(means[1] - means[0])
    low, high = np.percentile(gains[1:], INTERVAL)
    return Estimate(float(gains[0]), float(low), float(high))
