"""Metrics of score maps of a file: thresholds, their source, denominators and mistakes."""

import json

import numpy as np
import pytest
from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth, MapOptions, evaluate_predictions
from boxrefine_d2.evaluation.predictions import PredictionFile

SIDE = 40
BOTH = ("maxboxacc_v1", "maxboxacc_v2")


def record(image_id, *boxes, masks=True, size=(SIDE, SIDE)):
    annotations = []
    for x1, y1, x2, y2 in boxes:
        mask = np.zeros(size, np.uint8, order="F")
        mask[y1:y2, x1:x2] = 1
        annotations.append(
            {
                "bbox": [x1, y1, x2, y2],
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": 0,
                "iscrowd": 0,
            }
            | ({"segmentation": mask_codec.encode(mask)} if masks else {})
        )
    sizes = {"height": size[0], "width": size[1]}
    return {"image_id": image_id, "file_name": f"{image_id}", "annotations": annotations} | sizes


def blob(x1, y1, x2, y2, halo=0.0):
    """Return a map that is 1 in a box, `halo` in a margin of 4 pixels around it, and else 0."""
    scores = np.zeros((SIDE, SIDE))
    scores[max(y1 - 4, 0) : y2 + 4, max(x1 - 4, 0) : x2 + 4] = halo
    scores[y1:y2, x1:x2] = 1
    return scores


BOX = (10, 10, 20, 20)


def predictions(folder, maps):
    entries = []
    for image_id, scores in maps.items():
        np.savez_compressed(folder / f"{image_id}.npz", map=scores)
        entries.append({"image_id": image_id, "heatmap": f"{image_id}.npz", "bbox": [0, 0, 1, 1]})
    return PredictionFile(str(folder / "localization.json"), entries)


def scored(truth, found, metrics=BOTH, **options):
    options = MapOptions(**({"resize": SIDE} | options))
    options.check()
    return evaluate_predictions(truth, found, metrics, options)


LOOSE = (6, 6, 24, 24)  # IoU 33 % with BOX


def two_images(folder):
    """Below .5 both boxes are loose; above, that of image 1 is elsewhere, that of image 2 right."""
    truth = GroundTruth("made", [record(1, BOX), record(2, BOX)])
    elsewhere = np.maximum(0.5 * blob(*LOOSE), blob(6, 6, 9, 9))
    return truth, predictions(folder, {1: elsewhere, 2: blob(*BOX, halo=0.5)})


def test_each_iou_has_its_own_threshold(tmp_path):
    """Accuracy at IoU 30, 50, 70: 100, 0, 0 below .5 and 50, 50, 50 above."""
    result = scored(*two_images(tmp_path))
    assert result.values == {"maxboxacc_v1": 50, "maxboxacc_v2": pytest.approx(200 / 3)}
    assert result.rules == {
        "maxboxacc_v1": "threshold 0.499; the best on the scored images (test)",
        "maxboxacc_v2": "threshold 0.000 at IoU 30 %, 0.499 at IoU 50 %, 0.499 at IoU 70 %, boxes "
        "of all contours; the best on the scored images (test)",
    }
    assert [(curve.subject, curve.name) for curve in result.curves][2:4] == [
        ("Box of the largest contour", "IoU 70 %"),
        ("Box of any contour", "IoU 30 %"),
    ]
    assert [result.curves[0].percent[k] for k in (0, 498, 499, 999)] == [100, 100, 50, 50]


def test_a_common_threshold_serves_all_ious(tmp_path):
    result = scored(*two_images(tmp_path), v2_rule="common")
    assert result.values == {"maxboxacc_v1": 50, "maxboxacc_v2": 50}
    assert result.rules["maxboxacc_v2"] == (
        "threshold 0.499 for all IoUs, box of the largest contour; the best on the scored images "
        "(test)"
    )


def test_a_fixed_threshold(tmp_path):
    for threshold in (0.2, 0.2345):
        result = scored(*two_images(tmp_path), threshold_from="fixed", threshold=threshold)
        assert result.values == {"maxboxacc_v1": 0, "maxboxacc_v2": pytest.approx(100 / 3)}
    assert result.rules["maxboxacc_v1"] == "fixed threshold 0.234"


def test_the_validation_images_choose_the_threshold(tmp_path):
    """On the validation image every threshold below .5 is right, so 0 is chosen."""
    (tmp_path / "val").mkdir()
    val = GroundTruth("made_val", [record(1, (6, 6, 24, 24))])
    of_val = predictions(tmp_path / "val", {1: blob(*BOX, halo=0.5)})
    truth = GroundTruth("made", [record(1, BOX)])
    found = predictions(tmp_path, {1: blob(*BOX, halo=0.5)})
    assert scored(truth, found, ("maxboxacc_v1",)).values == {"maxboxacc_v1": 100}
    result = scored(truth, found, ("maxboxacc_v1",), threshold_from="val", validation=(val, of_val))
    assert result.values == {"maxboxacc_v1": 0}
    assert result.rules["maxboxacc_v1"] == "threshold 0.000; the best on made_val (val)"


def test_a_second_contour_counts_for_v2_alone(tmp_path):
    scores = np.maximum(blob(*BOX), blob(25, 25, 39, 39))
    truth = GroundTruth("made", [record(1, BOX)])
    result = scored(truth, predictions(tmp_path, {1: scores}))
    assert result.values == {"maxboxacc_v1": 0, "maxboxacc_v2": 100}


def test_pixels_of_several_objects_are_one_foreground(tmp_path):
    boxes = (BOX, (25, 25, 39, 39))
    truth = GroundTruth("made", [record(1, *boxes)])
    perfect = np.maximum(*(blob(*box) for box in boxes))
    result = scored(truth, predictions(tmp_path, {1: perfect}), ("pxap", "piou"))
    assert result.values == {"pxap": 100, "piou": 100}
    assert result.rules == {
        "pxap": "all thresholds",
        "piou": "threshold 0.001; the best on the scored images (test)",
    }


def test_crowds_are_ignored_where_no_object_is(tmp_path):
    of_image = record(1, BOX, (25, 25, 39, 39))
    of_image["annotations"][1]["iscrowd"] = 1
    scores = np.maximum(blob(*BOX), blob(25, 25, 39, 39))
    found = predictions(tmp_path, {1: scores})
    assert scored(GroundTruth("made", [of_image]), found, ("pxap",)).values == {"pxap": 100}


def test_masks_and_boxes_follow_the_map_to_its_frame(tmp_path):
    """The image is 80 x 20; in the frame of 40 x 40 its object is 20 x 10 pixels."""
    of_image = record(1, (20, 4, 60, 9), size=(20, 80))
    scores = np.zeros((SIDE, SIDE))
    scores[8:18, 10:30] = 1
    metrics = ("maxboxacc_v1", "pxap")
    result = scored(GroundTruth("made", [of_image]), predictions(tmp_path, {1: scores}), metrics)
    assert result.values == {"maxboxacc_v1": 100, "pxap": 100}
    raw = scored(
        GroundTruth("made", [of_image]), predictions(tmp_path, {1: scores}), metrics, resize=0
    )
    assert raw.values["maxboxacc_v1"] == 100
    assert raw.values["pxap"] > 90


def test_images_that_do_not_count_are_counted(tmp_path):
    truth = GroundTruth(
        "made", [record(1, BOX), record(2, BOX, masks=False), record(3), record(4, BOX)]
    )
    maps = {1: blob(*BOX), 2: np.full((3, 3), 0.5), 3: blob(*BOX)}
    result = scored(truth, predictions(tmp_path, maps), ("maxboxacc_v1", "pxap"))
    assert result.values["maxboxacc_v1"] == pytest.approx(100 / 3)
    assert result.counts == {
        "images_evaluated": 3,
        "images_without_ground_truth": 1,
        "images_evaluated_by_pixels": 2,
        "images_without_mask": 2,
        "images_without_prediction": 1,
        "maps_constant_or_not_finite": 1,
    }
    assert result.warnings == ["1 maps are constant or not finite; they count as zeros"]
    # image 1 is perfect; image 4 has no map, so its object joins all other pixels at score 0
    share = 200 / (2 * SIDE * SIDE)
    assert result.values["pxap"] == pytest.approx(100 * (0.5 + 0.5 * share))
    json.dumps(result.to_json())  # no count is a number of NumPy's


def test_the_heatmap_of_the_best_entry_counts(tmp_path):
    found = predictions(tmp_path, {1: blob(25, 25, 39, 39), 2: blob(*BOX)})
    entries = [{**entry, "image_id": 1, "score": k} for k, entry in enumerate(found.entries)]
    truth = GroundTruth("made", [record(1, BOX)])
    result = scored(truth, PredictionFile(found.path, entries), ("maxboxacc_v1",))
    assert result.values == {"maxboxacc_v1": 100}


def test_metrics_of_maps_stand_beside_others(tmp_path):
    truth = GroundTruth("made", [record(1, BOX)])
    found = predictions(tmp_path, {1: blob(*BOX)})
    found.entries[0]["bbox"] = [10, 10, 10, 10]
    result = scored(truth, found, ("gt_known", "maxboxacc_v1", "corloc"))
    assert result.values == dict.fromkeys(("gt_known", "maxboxacc_v1", "corloc"), 100)
    text = result.to_text().splitlines()
    assert text[0].split() == ["gt_known", "100.00", "%", "the", "box", "of", "the", "file"]
    assert result.to_json()["rules"]["gt_known"] == "the box of the file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": -1}, "--map-resize -1"),
        (
            {"normalise": "softmax"},
            "--map-normalise 'softmax' is unknown; known: minmax, max, none",
        ),
        ({"v2_rule": "best"}, "--v2-rule 'best' is unknown"),
        (
            {"threshold_from": "train"},
            "--threshold-from 'train' is unknown; known: fixed, val, test",
        ),
        ({"threshold_from": "fixed"}, "need each other"),
        ({"threshold": 0.5}, "need each other"),
        ({"threshold_from": "fixed", "threshold": 1.0}, "less than 1"),
        ({"threshold_from": "val"}, "needs --val-gt SPEC and --val-pred FILE"),
    ],
)
def test_impossible_options(change, message):
    with pytest.raises(UserError, match=message):
        MapOptions(**change).check()


def test_a_file_without_maps(tmp_path):
    truth = GroundTruth("made", [record(1, BOX)])
    found = PredictionFile("boxes.json", [{"image_id": 1, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(UserError, match="have no 'heatmap', which metric 'maxboxacc_v1' reads"):
        scored(truth, found)
    found = PredictionFile("boxes.json", [{"image_id": 1, "heatmap": 7}])
    with pytest.raises(UserError, match="it must be the path of an .npz file"):
        scored(truth, found)
    found = PredictionFile(str(tmp_path / "a.json"), [{"image_id": 1, "heatmap": "gone.npz"}])
    with pytest.raises(UserError, match=r"gone.npz' does not exist"):
        scored(truth, found)


def test_data_without_boxes_or_masks(tmp_path):
    found = predictions(tmp_path, {1: blob(*BOX), 2: blob(*BOX)})
    crowd = record(1, BOX, masks=False)
    with pytest.raises(UserError, match="has no mask to score against"):
        scored(GroundTruth("made", [crowd, record(2)]), found, ("pxap",))
    crowd["annotations"][0]["iscrowd"] = 1
    with pytest.raises(UserError, match="has no box to score against"):
        scored(GroundTruth("made", [crowd, record(2)]), found)
