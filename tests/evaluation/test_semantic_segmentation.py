import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.classification import multiclass_jaccard_index

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth
from boxrefine_d2.evaluation.build import evaluate_predictions
from boxrefine_d2.evaluation.predictions import read_predictions
from boxrefine_d2.evaluation.semantic_segmentation import ConfusionCounts, true_map
from boxrefine_d2.masks.coding import encode_masks


def test_the_example():
    """Golden 10.14."""
    counts = ConfusionCounts(4)
    counts.add(
        np.array([[0, 0, 1, 1], [0, 2, 2, 1]]),
        np.array([[0, 1, 1, 1], [0, 2, 0, 1]]),
    )
    iou = counts.iou()
    assert iou[:3].tolist() == [50, 75, 50] and np.isnan(iou[3])
    assert np.nanmean(iou) == pytest.approx(58.3333, abs=1e-4)


@pytest.mark.parametrize("seed", range(50))
def test_it_equals_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    counts, pairs = ConfusionCounts(classes), []
    for _ in range(int(rng.integers(1, 4))):
        size = tuple(rng.integers(3, 20, 2))
        truth, predicted = rng.integers(0, classes, (2, *size))
        truth[rng.random(size) < 0.1] = 255
        counts.add(truth, predicted)
        pairs.append((predicted.ravel(), truth.ravel()))
    predicted, truth = (torch.from_numpy(np.concatenate(part)) for part in zip(*pairs))
    expected = multiclass_jaccard_index(predicted, truth, classes, average="none", ignore_index=255)
    torch.testing.assert_close(
        torch.from_numpy(np.nan_to_num(counts.iou())), 100 * expected.double(), atol=1e-4, rtol=0
    )


def record(image_id, *objects, size=(4, 6)):
    annotations = []
    for (top, left, bottom, right), category, *crowd in objects:
        mask = np.zeros(size, bool)
        mask[top:bottom, left:right] = True
        annotations.append(
            {
                "category_id": category,
                "segmentation": encode_masks(mask[None])[0],
                "iscrowd": int(bool(crowd)),
            }
        )
    return {
        "image_id": image_id,
        "file_name": f"{image_id}.png",
        "height": size[0],
        "width": size[1],
        "annotations": annotations,
    }


@pytest.fixture
def truth():
    """Two images of the classes 3 and 7; a crowd covers the last column of the second one."""
    first = record(1, ((0, 0, 4, 4), 0), ((1, 1, 3, 3), 1))
    second = record(2, ((0, 0, 2, 6), 1), ((0, 5, 4, 6), 0, True))
    return GroundTruth("made up", [first, second], [3, 7], category_names=["cat", "dog"])


def test_smaller_objects_cover_larger_ones_and_crowds_are_ignored(truth):
    first, second = (true_map(r, [3, 7], "x") for r in truth.records)
    assert first.tolist() == [
        [3, 3, 3, 3, 0, 0],
        [3, 7, 7, 3, 0, 0],
        [3, 7, 7, 3, 0, 0],
        [3, 3, 3, 3, 0, 0],
    ]
    assert second[:, 5].tolist() == [255] * 4 and second[0, 0] == 7 and second[3, 0] == 0


@pytest.fixture
def scored(tmp_path, truth):
    """Return a function that writes maps and returns the result."""

    def scored(maps, **changes):
        entries = []
        for image_id, pixels in maps.items():
            Image.fromarray(np.array(pixels, np.uint8)).save(tmp_path / f"{image_id}.png")
            entries.append({"image_id": image_id, "segmentation_map": f"{image_id}.png"})
        path = tmp_path / "semantic.json"
        path.write_text(json.dumps([entry | changes for entry in entries]))
        return evaluate_predictions(truth, read_predictions(path), ["miou"])

    return scored


def test_a_perfect_file_and_one_without_an_image(scored, truth):
    maps = {r["image_id"]: true_map(r, [3, 7], "x") for r in truth.records}
    perfect = scored(maps)
    assert perfect.values == {"miou": 100}
    assert perfect.per_class == {"iou": {"background": 100, "cat": 100, "dog": 100}}
    assert perfect.counts["classes_evaluated"] == 3
    [line] = [line for line in perfect.to_text().splitlines() if "dog" in line]
    assert line.split() == ["dog", "100.00", "%"]
    del maps[2]
    half = scored(maps)
    # dog: 4 of 4 + 10 pixels; background: 8 of 8 + 10
    assert half.per_class["iou"] == pytest.approx(
        {"background": 100 * 8 / 18, "cat": 100, "dog": 100 * 4 / 14}
    )
    assert half.counts["images_without_prediction"] == 1
    assert half.to_json()["per_class"] == half.per_class


def test_mistakes_are_one_line(scored, tmp_path, truth):
    good = {r["image_id"]: true_map(r, [3, 7], "x") for r in truth.records}
    with pytest.raises(UserError, match="a pixel has the id 5, which no category has"):
        scored(good | {1: np.full((4, 6), 5)})
    with pytest.raises(UserError, match="the map is 6 x 3 pixels, and its image 6 x 4"):
        scored(good | {1: np.zeros((3, 6))})
    with pytest.raises(UserError, match="is a colour image"):
        scored(good | {1: np.zeros((4, 6, 3))})
    with pytest.raises(UserError, match="must be the path of a PNG file"):
        scored(good, segmentation_map=3)
    with pytest.raises(UserError, match="semantic map .* does not exist|no semantic map"):
        scored(good, segmentation_map="nowhere.png")
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]))
    with pytest.raises(UserError, match="have no 'segmentation_map', which metric 'miou' reads"):
        evaluate_predictions(truth, read_predictions(path), ["miou"])
