"""Average precision by category: equal to pycocotools' COCOeval with categories."""

import numpy as np
import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import (
    AP_METRICS,
    MASK_AP_METRICS,
    GroundTruth,
    PredictionFile,
    evaluate_predictions,
)
from tests.evaluation.test_average_precision import RandomCase, reference

IDS, NAMES = (3, 7, 12), ("cat", "dog", "car")


def with_categories(seed):
    """Return a random case in three categories."""
    case, rng = RandomCase(seed), np.random.default_rng(seed)
    for record in case.truth.records:
        for annotation in record["annotations"]:
            annotation["category_id"] = int(rng.integers(3))
    for entry in case.entries:
        entry["category_id"] = int(rng.choice(IDS))
    truth = GroundTruth("made:up", case.truth.records, IDS, category_names=NAMES)
    return truth, case.entries


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_it_equals_cocoeval(seed, kind):
    truth, entries = with_categories(seed)
    if not entries:
        pytest.skip("no detections")
    names = MASK_AP_METRICS if kind == "segm" else AP_METRICS
    found = evaluate_predictions(
        truth, PredictionFile("pred.json", entries), names, by_category=True
    )
    expected = reference(truth, entries, kind, IDS, by_category=True)
    assert {name.removeprefix("segm_"): value for name, value in found.values.items()} == (
        pytest.approx(expected, abs=1e-9)
    )


def test_a_file_with_own_categories_is_matched_by_name():
    truth, entries = with_categories(1)
    by_id = evaluate_predictions(truth, PredictionFile("a.json", entries), ["ap"], by_category=True)
    new = {7: 1, 3: 2, 12: 3}
    named = PredictionFile(
        "b.json",
        [entry | {"category_id": new[entry["category_id"]]} for entry in entries],
        images=None,
        categories=[{"id": new[i], "name": name} for i, name in zip(IDS, NAMES, strict=True)],
    )
    by_name = evaluate_predictions(truth, named, ["ap"], by_category=True)
    assert by_name.values == by_id.values and by_name.per_class == by_id.per_class
    assert by_id.counts["categories_evaluated"] == len(by_id.per_class["ap"])


def test_mistakes_are_a_line():
    truth, entries = with_categories(1)
    other = PredictionFile("b.json", entries, categories=[{"id": 3, "name": "cow"}])
    with pytest.raises(UserError, match="has no category 'cow'; known: cat, dog, car"):
        evaluate_predictions(truth, other, ["ap"], by_category=True)
    strange = PredictionFile("b.json", [entry | {"category_id": 99} for entry in entries])
    with pytest.raises(UserError, match="category id 99 is none of made:up: 3, 7, 12"):
        evaluate_predictions(truth, strange, ["ap"], by_category=True)
    plain = GroundTruth("made:up", truth.records)
    with pytest.raises(UserError, match="has no categories; leave --categories out"):
        evaluate_predictions(plain, PredictionFile("a.json", entries), ["ap"], by_category=True)
