"""Damaged predictions and ground truth in every metric: one clear error or a finite score."""

import json
import math

import pytest

from boxrefine_d2 import evaluation
from boxrefine_d2.data.datasets.coco import load_coco
from boxrefine_d2.errors import UserError
from tests.data.damaged_files import damaged_json
from tests.data.sound_files import coco, problems_of_message, results

METRICS = ("corloc", "precision", "ap", "segm_ap", "mask_iou", "pointing", "box_acc")


@pytest.mark.parametrize(
    ("metric", "document"),
    [*((metric, results) for metric in METRICS), *((metric, coco) for metric in METRICS[:5])],
)
def test_damaged_predictions_are_refused_or_scored(tmp_path, metric, document):
    (tmp_path / "gt.json").write_text(json.dumps(coco()))
    truth = load_coco(tmp_path / "gt.json", tmp_path)
    run_damaged(tmp_path, metric, document, lambda path: (truth, path))


@pytest.mark.parametrize("metric", METRICS)
def test_damaged_ground_truth_is_refused_or_scored(tmp_path, metric):
    (tmp_path / "pred.json").write_text(json.dumps(results()))
    run_damaged(
        tmp_path, metric, coco, lambda path: (load_coco(path, tmp_path), tmp_path / "pred.json")
    )


def run_damaged(folder, metric, document, pair):
    """Evaluate damaged variants of a document.

    Args: pair: function from the damaged file to (ground truth, path of the predictions).
    """
    wrong, scored = [], 0
    for name, content in damaged_json(document(), 14, most=80):
        (folder / "x.json").write_bytes(content)
        try:
            dataset, path = pair(folder / "x.json")
            predictions = evaluation.read_predictions(path)
            truth = evaluation.GroundTruth("made:up", dataset.records, dataset.category_ids)
            result = evaluation.evaluate_predictions(truth, predictions, [metric])
            result.to_text().encode()
            scored += 1
            if not all(map(math.isfinite, result.values.values())):
                wrong.append(f"{name}: {result.values}")
        except UserError as error:
            wrong += [f"{name}: {problem}" for problem in problems_of_message(str(error))]
        except Exception as error:  # noqa: BLE001 - the test looks for exceptions of any kind
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:100]}")
    assert wrong == []
    assert scored
