"""IoU of masks with masks, worked out by hand."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions, read_predictions

SIZE = (20, 30)


def rle(x, y, w, h, size=SIZE):
    mask = np.zeros(size, np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    code = mask_codec.encode(mask)
    return {"size": list(size), "counts": code["counts"].decode("ascii")}


def annotation(x, y, w, h, **more):
    return {"bbox": [x, y, w, h], "bbox_mode": 1, "segmentation": rle(x, y, w, h)} | more


def data_set(*annotations):
    """Return a data set with one image for each list of annotations."""
    records = [
        {"image_id": i + 1, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
        | {"annotations": list(of_image)}
        for i, of_image in enumerate(annotations)
    ]
    return GroundTruth("made:up", records)


def scored(tmp_path, truth, *entries):
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(list(entries)))
    return evaluate_predictions(truth, read_predictions(path), ["mask_iou", "foreground_iou"])


def predicted(image_id, x, y, w, h, score=1.0, **more):
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": [x, y, w, h],
        "score": score,
        "segmentation": rle(x, y, w, h),
    } | more


def test_the_best_mask_and_all_masks_together(tmp_path):
    polygon = [[20.0, 0.0, 30.0, 0.0, 30.0, 10.0, 20.0, 10.0]]
    truth = data_set(
        [annotation(0, 0, 10, 10), annotation(20, 0, 10, 10, segmentation=polygon)],
        [annotation(0, 0, 10, 10)],
        [annotation(0, 0, 20, 20, iscrowd=1)],
        [],
    )
    result = scored(
        tmp_path,
        truth,
        predicted(1, 0, 0, 10, 5, 0.9),  # half of the first object
        predicted(1, 20, 0, 10, 10, 0.5),  # the whole second object
        predicted(3, 0, 0, 9, 9),
    )
    assert result.values["mask_iou"] == pytest.approx((50 + 0) / 2)
    assert result.values["foreground_iou"] == pytest.approx((75 + 0) / 2)
    assert result.counts["images_evaluated"] == 2
    assert result.counts["images_without_ground_truth"] == 2
    assert result.counts["images_without_prediction"] == 1


def test_the_objects_themselves_are_perfect(tmp_path):
    records = load_spec("scenes:val+first=3").records
    truth = GroundTruth("scenes:val", records)
    entries = [
        {
            "image_id": record["image_id"],
            "category_id": 1,
            "bbox": [*a["bbox"][:2], a["bbox"][2] - a["bbox"][0], a["bbox"][3] - a["bbox"][1]]
            if a["bbox_mode"] == 0
            else list(a["bbox"]),
            "score": 1.0,
            "segmentation": a["segmentation"],
        }
        for record in records
        for a in record["annotations"]
    ]
    assert scored(tmp_path, truth, *entries).values == {"mask_iou": 100, "foreground_iou": 100}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"segmentation": rle(0, 0, 5, 5, (20, 40))}, "is 40 x 20 pixels, the image 30 x 20"),
        ({"segmentation": "words"}, "image 1: a segmentation cannot be decoded"),
        ({"segmentation": {"size": [20, 30], "counts": "zzzzzzz~~~"}}, "cannot be decoded"),
    ],
)
def test_masks_that_do_not_fit_are_named(tmp_path, entry, message):
    with pytest.raises(UserError, match=message):
        scored(tmp_path, data_set([annotation(0, 0, 9, 9)]), predicted(1, 0, 0, 5, 5) | entry)


def test_data_and_files_without_masks_are_named(tmp_path):
    boxes_only = {"bbox": [0, 0, 9, 9], "bbox_mode": 1}
    with pytest.raises(UserError, match="made:up has no masks to score against"):
        scored(tmp_path, data_set([boxes_only]), predicted(1, 0, 0, 5, 5))
    entry = predicted(1, 0, 0, 5, 5)
    del entry["segmentation"]
    with pytest.raises(UserError, match="1 of 1 entries have no 'segmentation'"):
        scored(tmp_path, data_set([annotation(0, 0, 9, 9)]), entry)
