import numpy as np
import pytest

from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.evaluation import Detections, GroundTruth, average_precision
from boxrefine_d2.improvement.labels import detections_of, hits, is_labelled, scores

SPEC = "scenes:val+first=6"


@pytest.fixture(scope="module")
def dataset():
    return load_spec(SPEC)


def boxes(dataset, right):
    """Return the first object of the first `right` images, and a corner of the others."""
    return {
        record["image_id"]: Detections(
            np.array([record["annotations"][0]["bbox"] if i < right else [0, 0, 2, 2]], float),
            np.array([0.5]),
        )
        for i, record in enumerate(dataset.records)
    }


def test_corloc_and_ap50_before_and_after(dataset):
    before, after = boxes(dataset, 2), boxes(dataset, 5)
    found = scores(dataset, SPEC, before, after)
    assert found["images"] == 6
    corloc, ap50 = found["corloc"], found["ap50"]
    assert corloc["before"]["mean"] == pytest.approx(100 * 2 / 6)
    assert corloc["difference"]["mean"] == pytest.approx(50)
    low, high = corloc["difference"]["ci95"]
    assert 0 <= low < 50 < high
    truth = GroundTruth(SPEC, dataset.records)
    for name, own in (("before", before), ("after", after)):
        expected = average_precision(truth, own, of_masks=False).values["ap50"]
        assert ap50[name]["mean"] == pytest.approx(expected)
    low, high = ap50["difference"]["ci95"]
    assert low <= ap50["difference"]["mean"] <= high and low < high


def test_equal_boxes_have_no_difference(dataset):
    found = scores(dataset, SPEC, boxes(dataset, 3), boxes(dataset, 3))
    for name in ("corloc", "ap50"):
        assert found[name]["difference"] == {"mean": 0.0, "ci95": [0.0, 0.0]}


def test_an_image_without_prediction_is_a_miss(dataset):
    found = boxes(dataset, 6)
    del found[dataset.records[0]["image_id"]]
    assert list(hits(dataset, SPEC, found).values()) == [False, True, True, True, True, True]


def test_data_without_labels_have_no_scores(rendered, label_file):
    dataset = load_spec(f"folder:{rendered}")
    found = detections_of(read_pseudo_labels(label_file({1: [[0, 0, 5, 5]], 2: []})))
    assert not is_labelled(dataset.records)
    assert scores(dataset, "x", found, found) is None
    assert found[1].boxes.tolist() == [[0, 0, 5, 5]] and found[2].boxes.shape == (0, 4)
