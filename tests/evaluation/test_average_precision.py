"""Average precision: equal to pycocotools' COCOeval on random cases; small cases by hand."""

import contextlib
import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as mask_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import (
    AP_METRICS,
    MASK_AP_METRICS,
    Detections,
    GroundTruth,
    PredictionFile,
    average_precision,
    evaluate_predictions,
    read_predictions,
)

SIZE = (130, 170)  # (H, W); objects of all three size classes fit in
STATS = (0, 1, 2, 8, 3, 4, 5)  # positions of `AP_METRICS` in COCOeval's `stats`


def rectangle(x, y, w, h, size=SIZE):
    mask = np.zeros(size, np.uint8, order="F")
    mask[round(y) : round(y + h), round(x) : round(x + w)] = 1
    return encoded(mask)


def encoded(mask):
    code = mask_codec.encode(np.asfortranarray(mask))
    return {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}


def annotation(x, y, w, h, **more):
    return {"bbox": [x, y, x + w, y + h], "bbox_mode": 0, "category_id": 0, "iscrowd": 0} | more


def predicted(image_id, x, y, w, h, score=1.0, **more):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, y, w, h], "score": score} | more


def data_set(*annotations, ids=None):
    """Return a data set with one image for each list of annotations."""
    records = [
        {"image_id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
        | {"annotations": list(of_image)}
        for i, of_image in zip(ids or range(1, len(annotations) + 1), annotations, strict=True)
    ]
    return GroundTruth("made:up", records)


def scored(truth, entries, metrics=AP_METRICS):
    return evaluate_predictions(truth, PredictionFile("pred.json", list(entries)), metrics)


class RandomCase:
    """A few images with objects, crowds and detections, some near objects and some elsewhere.

    Some scores are equal; some images are empty or hold crowds only.
    """

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.whole_pixels, self.few_scores, self.has_areas = self.random.random(3) < 0.5
        ids = self.random.permutation(50)[: self.random.integers(2, 6)].tolist()
        objects = [self._objects() for _ in ids]
        objects[0] = [self._region() | {"iscrowd": 0}]  # at least one object to find
        self.truth = data_set(*([self._annotation(o) for o in of] for of in objects), ids=ids)
        self.entries = [
            entry
            for image_id, of_image in zip(ids, objects, strict=True)
            for entry in self._detections(image_id, of_image, busy=seed % 10 == 0)
        ]

    def _objects(self):
        count = self.random.choice([0, 1, 2, 6])
        return [self._region() | {"iscrowd": int(self.random.random() < 0.2)} for _ in range(count)]

    def _region(self, near=None):
        """Return a box and a mask: an ellipse inside the box, or the whole box."""
        if near is None:
            side = np.exp(self.random.uniform(np.log(8), np.log(140)))
            sides = (side * np.exp(self.random.normal(0, 0.2, 2))).clip(6, (160, 125))
            start = self.random.uniform(0, (SIZE[1] - sides[0], SIZE[0] - sides[1]))
            box = np.concatenate([start, sides])
        else:
            box = near["box"] + self.random.choice([0, 2, 8]) * self.random.standard_normal(4)
        if self.whole_pixels:
            box = box.round()
        box[:2] = box[:2].clip(0, (SIZE[1] - 8, SIZE[0] - 8))
        box[2:] = box[2:].clip(4, (SIZE[1] - box[0], SIZE[0] - box[1]))
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        across = (columns + 0.5 - box[0]) / box[2] * 2 - 1, (rows + 0.5 - box[1]) / box[3] * 2 - 1
        round_one = near["round"] if near else self.random.random() < 0.7
        distance = np.hypot(*across) if round_one else np.maximum(*np.abs(across))
        return {"box": box, "round": round_one, "mask": encoded((distance < 1).astype(np.uint8))}

    def _annotation(self, region):
        more = {"segmentation": region["mask"], "iscrowd": region["iscrowd"]}
        if self.has_areas:  # as in COCO: neither the area of the box nor exactly that of the mask
            more["area"] = float(mask_codec.area(region["mask"])) + 0.5
        return annotation(*region["box"].tolist(), **more)

    def _detections(self, image_id, objects, busy):
        count = self.random.choice([0, 4, 12]) if not busy else 130
        for _ in range(count):
            near = objects[self.random.integers(len(objects))] if objects else None
            region = self._region(near if self.random.random() < 0.6 else None)
            score = round(self.random.random(), 1 if self.few_scores else 6)
            masks = {"segmentation": region["mask"]}
            yield predicted(image_id, *region["box"].tolist(), float(score), **masks)


def reference(truth, entries, kind, categories=(1,), *, by_category=False):
    """Return the `AP_METRICS` of pycocotools in percent, without those that it gives as -1.

    Several categories differ in their order only (`useCats` 0), unless `by_category`.
    """
    annotations = []
    for record in truth.records:
        for a in record["annotations"]:
            x1, y1, x2, y2 = a["bbox"]
            box = [x1, y1, x2 - x1, y2 - y1]
            own = mask_codec.area(a["segmentation"]) if kind == "segm" else box[2] * box[3]
            annotations.append(a | {"id": len(annotations) + 1, "image_id": record["image_id"]})
            annotations[-1] |= {"bbox": box, "area": float(a.get("area", own))}
            annotations[-1]["category_id"] = categories[a["category_id"]]
    dropped = "bbox" if kind == "segm" else "segmentation"
    results = [{k: v for k, v in entry.items() if k != dropped} for entry in entries]
    coco = COCO()
    images = [{"id": r["image_id"], "height": SIZE[0], "width": SIZE[1]} for r in truth.records]
    named = [{"id": i, "name": f"category {i}"} for i in categories]
    coco.dataset = {"images": images, "annotations": annotations, "categories": named}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), kind)
        evaluation.params.useCats = int(by_category or len(categories) == 1)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {n: 100 * evaluation.stats[i] for n, i in zip(AP_METRICS, STATS, strict=True)}
    return {name: value for name, value in values.items() if value >= 0}


@pytest.mark.parametrize("seed", range(50))
def test_equal_to_pycocotools(seed):
    case = RandomCase(seed)
    if not case.entries:
        case.entries = [predicted(case.truth.records[0]["image_id"], 1, 1, 9, 9)]
        case.entries[0]["segmentation"] = rectangle(1, 1, 9, 9)
    boxes = scored(case.truth, case.entries)
    assert boxes.values == pytest.approx(reference(case.truth, case.entries, "bbox"), abs=1e-9)
    masks = scored(case.truth, case.entries, MASK_AP_METRICS).values
    expected = reference(case.truth, case.entries, "segm")
    assert masks == pytest.approx({f"segm_{n}": v for n, v in expected.items()}, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_ties_across_categories_are_broken_as_by_pycocotools_without_categories(seed):
    """Equal scores occur in three categories of non-contiguous ids, in any order in the file."""
    case, draw, categories = RandomCase(seed), np.random.default_rng(seed), (3, 7, 20)
    for record in case.truth.records:
        for a in record["annotations"]:
            a["category_id"] = int(draw.integers(3))
    entries = [
        e | {"category_id": int(draw.choice(categories)), "score": float(draw.choice([0.5, 0.9]))}
        for e in case.entries
        or [
            predicted(
                case.truth.records[0]["image_id"], 1, 1, 9, 9, segmentation=rectangle(1, 1, 9, 9)
            )
        ]
    ]
    truth = replace(case.truth, category_ids=list(categories))
    boxes = scored(truth, entries).values
    assert boxes == pytest.approx(reference(truth, entries, "bbox", categories), abs=1e-9)
    masks = scored(truth, entries, MASK_AP_METRICS).values
    expected = reference(truth, entries, "segm", categories)
    assert masks == pytest.approx({f"segm_{n}": v for n, v in expected.items()}, abs=1e-9)


def test_the_random_cases_hold_crowds_empty_images_ties_and_many_detections():
    cases = [RandomCase(seed) for seed in range(50)]
    annotations = [a for c in cases for r in c.truth.records for a in r["annotations"]]
    assert sum(a["iscrowd"] for a in annotations) > 30
    assert any(not r["annotations"] for c in cases for r in c.truth.records)
    results = [scored(c.truth, c.entries) for c in cases if c.entries]
    for count in ("images_without_ground_truth", "images_without_prediction"):
        assert sum(result.counts[count] > 0 for result in results) > 10
    assert sum(result.counts["predictions_beyond_100"] for result in results) > 300
    assert all(sum(name in r.values for r in results) > 10 for name in AP_METRICS)
    assert sum(0 < r.values["ap50"] < 100 for r in results) > 30
    tied = [c for c in cases if len({e["score"] for e in c.entries}) < len(c.entries)]
    assert len(tied) > 20


def test_detections_in_memory_score_as_those_of_a_file(tmp_path):
    case = RandomCase(10)
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(case.entries))
    detections = {}
    for record in case.truth.records:
        own = [e for e in case.entries if e["image_id"] == record["image_id"]]
        boxes = np.array([e["bbox"] for e in own])
        boxes[:, 2:] += boxes[:, :2]
        scores, masks = np.array([e["score"] for e in own]), [e["segmentation"] for e in own]
        detections[record["image_id"]] = Detections(boxes, scores, masks)
    for of_masks, names in ((False, AP_METRICS), (True, MASK_AP_METRICS)):
        result = average_precision(case.truth, detections, of_masks=of_masks)
        of_file = evaluate_predictions(case.truth, read_predictions(path), names)
        assert result.values == of_file.values and result.counts == of_file.counts


def test_by_hand():
    """Two objects; a hit, a miss, a hit: precision 1 up to recall 1/2, then 2/3 up to recall 1."""
    truth = data_set([annotation(10, 10, 40, 40), annotation(100, 60, 40, 40)], [])
    entries = [
        predicted(1, 10, 10, 40, 40, 0.9),
        predicted(2, 10, 10, 40, 40, 0.8),  # in an image without objects
        predicted(1, 100, 60, 40, 28, 0.7),  # IoU 0.7: a hit at 0.5 ... 0.65 and at 0.7
    ]
    result = scored(truth, entries)
    both = 100 * (51 * 1 + 50 * 2 / 3) / 101
    half = 100 * 51 / 101
    assert result.values == pytest.approx(
        {"ap50": both, "ap75": half, "ap": (5 * both + 5 * half) / 10}
        | {"ar100": 75.0, "ap_medium": (5 * both + 5 * half) / 10}
    )
    assert result.counts == {
        "images_evaluated": 2,
        "images_without_ground_truth": 1,
        "images_without_prediction": 0,
        "ground_truth_boxes": 2,
        "crowds": 0,
        "difficult_left_out": 0,
        "predictions_beyond_100": 0,
    }
    assert result.warnings == ["ap_small, ap_large: not defined, no object is of that size"]
    assert scored(truth, entries, ["ap50"]).warnings == []
    assert "NaN" not in json.dumps(result.to_json()) and "ap_small" not in result.to_json()


@pytest.mark.parametrize(("order", "ap50"), [((0, 1), 100.0), ((1, 0), 100 * 51 / 101)])
def test_among_two_objects_of_equal_iou_the_last_is_taken(order, ap50):
    """The best detection lies between two objects; the other lies on the left object.

    The left object may be taken by the first detection.
    """
    objects = [annotation(10, 10, 40, 40), annotation(30, 10, 40, 40)]
    for each, x in zip(objects, (10, 30), strict=True):
        each["segmentation"] = rectangle(x, 10, 40, 40)
    entries = [
        predicted(1, x, 10, 40, 40, score, segmentation=rectangle(x, 10, 40, 40))
        for x, score in ((20, 0.9), (10, 0.5))
    ]
    truth = data_set([objects[i] for i in order])
    result = scored(truth, entries, ["ap50", "segm_ap50"])
    assert result.values == pytest.approx({"ap50": ap50, "segm_ap50": ap50})
    assert reference(truth, entries, "bbox")["ap50"] == pytest.approx(ap50)


def test_difficult_objects_are_no_ground_truth_under_any_protocol():
    easy, hard = annotation(10, 10, 40, 40, difficult=False), annotation(100, 60, 40, 40)
    hard |= {"difficult": True, "truncated": True}
    records = data_set([easy, hard], [hard]).records
    entries = [predicted(1, 10, 10, 40, 40, 0.5), predicted(1, 100, 60, 40, 40, 0.9)]
    for protocol in ("lost", "no_hard", "release"):
        truth = GroundTruth("voc:x:y", records, protocol=protocol, rounds_boxes=True)
        result = scored(truth, entries)
        assert result.values["ap50"] == pytest.approx(50.0)  # a detection on it is a miss
        assert result.counts["difficult_left_out"] == 2
        assert result.counts["images_without_ground_truth"] == 1
    truncated = data_set([annotation(10, 10, 40, 40, truncated=True)])
    assert scored(truncated, entries[:1]).values["ap"] == pytest.approx(100.0)


def test_size_classes_use_the_annotated_area_or_that_of_box_or_mask():
    thin = rectangle(10, 10, 40, 20)  # 800 pixels, in a box of 1600
    entries = [predicted(1, 10, 10, 40, 40, segmentation=thin)]
    names = [*AP_METRICS, *MASK_AP_METRICS]
    plain = scored(data_set([annotation(10, 10, 40, 40, segmentation=thin)]), entries, names)
    assert {"ap_medium", "segm_ap_small"} <= set(plain.values)
    assert not {"ap_small", "segm_ap_medium", "ap_large", "segm_ap_large"} & set(plain.values)
    large = data_set([annotation(10, 10, 40, 40, segmentation=thin, area=9217.0)])
    assert {"ap_large", "segm_ap_large"} <= set(scored(large, entries, names).values)


def test_families_scored_together_keep_their_own_counts():
    truth = data_set([annotation(10, 10, 40, 40)], [])
    result = scored(truth, [predicted(1, 10, 10, 40, 40)], ["corloc", "ap", "ap50"])
    assert list(result.values) == ["corloc", "ap", "ap50"]
    assert (result.counts["images_evaluated"], result.counts["ap_images_evaluated"]) == (1, 2)
    assert "ap images evaluated" in result.to_text()


def test_a_file_of_more_images_is_scored_on_a_part():
    part = data_set([annotation(10, 10, 40, 40)], [annotation(20, 20, 40, 40)], ids=[3, 7])
    entries = [predicted(i, 10, 10, 40, 40) for i in range(100)]
    result = scored(part, entries)
    assert result.values["ap50"] == pytest.approx(
        scored(part, [entries[3], entries[7]]).values["ap50"]
    )
    assert result.warnings[0] == "98 images of pred.json are not in made:up: ignored"


@pytest.mark.parametrize(
    ("truth", "entry", "metric", "message"),
    [
        ([annotation(1, 1, 9, 9, iscrowd=1)], {}, "ap", "none of the 1 images of made:up .* crowd"),
        ([annotation(1, 1, 9, 9)], {}, "segm_ap", "made:up has no masks to score against"),
        (
            [annotation(1, 1, 9, 9, segmentation=rectangle(1, 1, 9, 9))],
            {"segmentation": rectangle(1, 1, 9, 9, (170, 130))},
            "segm_ap50",
            "pred.json: image 1: a segmentation is 130 x 170 pixels, the image 170 x 130",
        ),
        (
            [annotation(1, 1, 9, 9, segmentation=rectangle(1, 1, 9, 9))],
            {"segmentation": {"size": [*SIZE], "counts": "11"}},
            "segm_ap50",
            "pred.json: image 1: a segmentation cannot be decoded",
        ),
        (
            [annotation(1, 1, 9, 9, segmentation={"size": [*SIZE], "counts": "zz"})],
            {"segmentation": rectangle(1, 1, 9, 9)},
            "segm_ap",
            "made:up: image 1: a segmentation cannot be decoded",
        ),
    ],
)
def test_unusable_data_is_refused_in_one_line(truth, entry, metric, message):
    entries = [predicted(1, 1, 1, 9, 9) | {"segmentation": rectangle(1, 1, 9, 9)} | entry]
    with pytest.raises(UserError, match=message) as caught:
        scored(data_set(truth), entries, [metric])
    assert "\n" not in str(caught.value)


def test_missing_masks_are_named():
    entry = predicted(1, 1, 1, 9, 9)
    with_mask = annotation(1, 1, 9, 9, segmentation=rectangle(1, 1, 9, 9))
    with pytest.raises(
        UserError, match="1 of 1 entries have no 'segmentation', which metric 'segm_ap'"
    ):
        scored(data_set([with_mask]), [entry], ["segm_ap"])
    truth = data_set([with_mask, annotation(50, 50, 9, 9)])
    result = scored(truth, [entry | {"segmentation": rectangle(1, 1, 9, 9)}], ["segm_ap"])
    assert result.warnings == ["1 objects of made:up have no mask: left out"]
    assert result.values["segm_ap"] == pytest.approx(100.0)
    with pytest.raises(ValueError, match="needs detections with masks"):
        boxes_only = {1: Detections(np.ones((1, 4)), np.ones(1))}
        average_precision(truth, boxes_only, of_masks=True)
