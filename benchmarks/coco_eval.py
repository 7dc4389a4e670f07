"""All seven class-agnostic mask AP metrics against pycocotools' COCOeval, on the same predictions.

The predictions are in memory. An image has as many objects as a COCO image, and 100 detections, the
most that COCOeval counts; four in ten are near an object. Ours also checks the entries for damaged
masks and other mistakes of a file; the baseline does not.
"""

import contextlib
import copy
import io
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from timing import Pairs, Result
from tqdm import tqdm

from boxrefine_d2.evaluation import (
    AP_METRICS,
    MASK_AP_METRICS,
    GroundTruth,
    PredictionFile,
    evaluate_predictions,
)

IMAGES, SIZE, DETECTIONS = 50, (480, 640), 100
MOST_OBJECTS = 14
CROWDS, NEAR = 0.03, 0.4  # share of the objects that are crowds; of the detections near an object
CORNERS = 24  # corners of an outline
PAIRS = 5
TARGET = 3.0
MAX_DIFFERENCE = 1e-4  # percent
STATS = (0, 1, 2, 8, 3, 4, 5)  # indices of the metrics `AP_METRICS` in `COCOeval.stats`

Entry = dict[str, Any]


def coco_eval() -> Result:
    """Measure mask AP; the ratio of box AP is a note."""
    annotations, entries = _random_objects()
    truth, file = _ground_truth(annotations), PredictionFile("predictions", entries)
    mask_pairs, box_pairs, worst = Pairs(), Pairs(), 0.0
    for _ in tqdm(range(PAIRS), desc="pairs", leave=False):
        for pairs, kind, names in (
            (mask_pairs, "segm", MASK_AP_METRICS),
            (box_pairs, "bbox", AP_METRICS),
        ):
            inputs = copy.deepcopy(annotations), _results(entries, kind)  # COCOeval changes both
            expected, values = pairs.add(
                lambda inputs=inputs, kind=kind: _published(*inputs, kind),
                lambda names=names: evaluate_predictions(truth, file, names).values,
                IMAGES,
            )
            worst = max(worst, *np.abs(np.subtract(expected, [values[name] for name in names])))
    result = Result(mask_pairs, "image", TARGET)
    boxes = Result(box_pairs, "image", None)
    result.notes.append(
        f"the largest difference of {2 * len(AP_METRICS)} numbers: {worst:.1e} percent; "
        f"boxes: {boxes.ratio:.1f} x, {boxes.published_ms:.1f} against {boxes.ours_ms:.1f} ms"
    )
    if not worst <= MAX_DIFFERENCE:
        result.failed.append(f"a number differs by more than {MAX_DIFFERENCE} percent")
    return result


def _published(annotations: list[Entry], results: list[Entry], kind: str) -> list[float]:
    """Return COCOeval's metrics in percent, in the order of `AP_METRICS`."""
    height, width = SIZE
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": height, "width": width} for i in range(IMAGES)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * evaluation.stats[index] for index in STATS]


def _results(entries: list[Entry], kind: str) -> list[Entry]:
    """Return the entries as Detectron2 gives them to COCOeval.

    Entries have no boxes if masks are scored, because COCOeval would use the boxes' areas.
    """
    dropped = "bbox" if kind == "segm" else "segmentation"
    return [{key: value for key, value in e.items() if key != dropped} for e in entries]


def _ground_truth(annotations: list[Entry]) -> GroundTruth:
    height, width = SIZE
    records: list[Entry] = [
        {"image_id": i, "file_name": f"{i}.jpg", "height": height, "width": width}
        | {"annotations": []}
        for i in range(IMAGES)
    ]
    for annotation in annotations:
        x, y, w, h = annotation["bbox"]
        box = {"bbox": [x, y, x + w, y + h], "bbox_mode": BoxMode.XYXY_ABS}
        records[annotation["image_id"]]["annotations"].append(annotation | box)
    return GroundTruth("made-up objects", records)


def _random_objects() -> tuple[list[Entry], list[Entry]]:
    """Return COCO annotations and predictions: irregular discs with a radius of 8 to 150 pixels."""
    random = np.random.default_rng(0)
    annotations: list[Entry] = []
    entries = []
    for image_id in range(IMAGES):
        discs = [_disc(random) for _ in range(random.integers(0, MOST_OBJECTS + 1))]
        for disc in discs:
            rle, box = _region(_outline(random, disc))
            more = {"area": float(mask_codec.area(rle)), "iscrowd": int(random.random() < CROWDS)}
            annotation = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1}
            annotations.append(annotation | {"bbox": box, "segmentation": rle} | more)
        for _ in range(DETECTIONS):
            disc = _disc(random)
            if discs and random.random() < NEAR:
                x, y, radius = discs[random.integers(len(discs))]
                moved = np.array([x, y, radius]) + 0.1 * radius * random.standard_normal(3)
                disc = (moved[0], moved[1], moved[2])
            rle, box = _region(_outline(random, disc))
            entry = {"image_id": image_id, "category_id": 1, "score": float(random.random())}
            entries.append(entry | {"bbox": box, "segmentation": rle})
    return annotations, entries


def _disc(random: np.random.Generator) -> tuple[float, float, float]:
    """Return a random centre x, y and radius, in pixels."""
    height, width = SIZE
    radius = np.exp(random.uniform(np.log(8), np.log(150)))
    return random.uniform(0, width), random.uniform(0, height), radius


def _outline(random: np.random.Generator, disc: tuple[float, float, float]) -> list[float]:
    """Return a random polygon x, y, x, y, ... around a disc, cut at the image."""
    height, width = SIZE
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radii = disc[2] * (1 + 0.25 * random.standard_normal(CORNERS)).clip(0.3, 2)
    x = (disc[0] + radii * np.cos(angles)).clip(0, width)
    y = (disc[1] + radii * np.sin(angles)).clip(0, height)
    return np.stack([x, y], axis=1).ravel().tolist()


def _region(outline: list[float]) -> tuple[Entry, list[float]]:
    """Return the mask inside an outline, an RLE as JSON holds it, and its XYWH box."""
    rle = mask_codec.merge(mask_codec.frPyObjects([outline], *SIZE))
    box = mask_codec.toBbox(rle).tolist()
    return {"size": list(SIZE), "counts": rle["counts"].decode("ascii")}, box
