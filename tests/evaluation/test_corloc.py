import json
from types import SimpleNamespace

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import CorLocEvaluator, corloc, is_localised, top_box
from boxrefine_d2.structures import PseudoBoxes

SQUARE = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
NOTHING = torch.zeros(0, 4)


def test_two_of_three_images_is_66_7():
    """Image 3 is a miss (IoU 0.49); image 4 has no ground truth and is not in the denominator."""
    truth = {1: SQUARE, 2: SQUARE, 3: SQUARE, 4: NOTHING}
    boxes = {1: [0, 0, 10, 10], 2: [0, 0, 10, 5], 3: [0, 0, 10, 4.9], 4: [0, 0, 10, 10]}
    result = corloc(boxes, truth)
    assert result.percent == pytest.approx(200 / 3)
    assert result.hits == {1: True, 2: True, 3: False}
    assert (result.without_ground_truth, result.without_prediction) == (1, 0)


def test_images_without_prediction_are_misses():
    result = corloc({1: [0, 0, 10, 10], 2: None}, {1: SQUARE, 2: SQUARE, 3: SQUARE, 4: SQUARE})
    assert result.percent == 25.0
    assert result.without_prediction == 3


def test_predictions_on_unknown_images_are_ignored():
    assert corloc({1: [0, 0, 10, 10], 99: [0, 0, 1, 1]}, {1: SQUARE}).percent == 100.0


def test_no_ground_truth_at_all_is_an_error_and_not_a_zero():
    with pytest.raises(UserError, match="none of the 1 images"):
        corloc({1: [0, 0, 1, 1]}, {1: NOTHING})


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ([0, 0, 10, 5], True),  # 50 / 100: exactly half is a hit
        ([0, 0, 20, 10], True),  # 100 / 200
        ([0, 0, 10, 5 - 1e-9], False),
        ([0, 0, 10, 20 + 1e-9], False),
        ([5, 0, 15, 10], False),  # 50 / 150; with inclusive pixels it would be 66 / 176
        ([10, 10, 0, 0], False),  # inverted twice: its "area" is positive
        ([0, 0, 0, 0], False),
        ([float("nan")] * 4, False),
    ],
)
def test_is_localised(box, hit):
    assert is_localised(box, SQUARE) is hit


def test_exact_half_holds_where_float32_rounds():
    """Areas of 3 x 33333333 and half of it: float64 holds them, float32 does not."""
    truth = torch.tensor([[0.0, 0.0, 3.0, 33333334.0]], dtype=torch.float64)
    assert is_localised([0.0, 0.0, 3.0, 16666667.0], truth)
    assert not is_localised([0.0, 0.0, 3.0, 16666666.0], truth)


def test_half_of_any_integer_box_is_a_hit():
    for width in range(1, 40):
        for height in range(2, 40, 2):
            truth = torch.tensor([[7.0, 3.0, 7.0 + width, 3.0 + height]])
            assert is_localised([7, 3, 7 + width, 3 + height // 2], truth)


def test_a_hit_on_any_of_several_objects_is_a_hit():
    truth = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 90.0, 90.0]])
    assert is_localised([50, 50, 90, 90], truth)


def test_top_box_is_the_first_among_equal_scores():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]])
    assert top_box(boxes, torch.tensor([0.1, 0.7, 0.7])) == [0, 0, 2, 2]
    assert top_box(boxes[:0], torch.zeros(0)) is None


def annotation(box, **marks):
    return {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0, **marks}


def record(image_id, *annotations):
    return {
        "image_id": image_id,
        "height": 480,
        "width": 480,
        "annotations": list(annotations),
    }


@pytest.fixture
def register():
    names = []

    def add(records, **metadata):
        name = f"corloc_test_{len(names)}"
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def three_images(register):
    square = annotation([0.0, 0.0, 10.0, 10.0])
    return register([record("a", square), record("b", square), record("c", square), record("d")])


def output(h=None, **pseudo):
    """Return a model output with one box per name; `h` may be a list of (box, score)."""
    result = {
        "pseudo_boxes": {
            name: PseudoBoxes(torch.tensor([box]), torch.ones(1), (480, 480))
            for name, box in pseudo.items()
        }
    }
    if h is not None:
        instances = Instances((480, 480))
        instances.pred_boxes = Boxes(torch.tensor([box for box, _ in h]).reshape(-1, 4))
        instances.scores = torch.tensor([score for _, score in h])
        result["instances"] = instances
    return result


GOOD, BAD = [0.0, 0.0, 10.0, 9.0], [20.0, 20.0, 30.0, 30.0]


def test_evaluator_scores_every_named_set_in_one_pass(three_images, tmp_path):
    evaluator = CorLocEvaluator(three_images, output_dir=str(tmp_path))
    evaluator.process(
        [{"image_id": "a"}, {"image_id": "b"}],
        [
            output(h=[(BAD, 0.2), (GOOD, 0.9)], lost=GOOD, refined=GOOD),
            output(h=[], lost=BAD, refined=GOOD),
        ],
    )
    evaluator.process([{"image_id": "d"}], [output(lost=GOOD)])
    results = evaluator.evaluate()
    assert results["corloc"] == pytest.approx({"h": 100 / 3, "lost": 100 / 3, "refined": 200 / 3})
    assert results["corloc_images"] == {
        "evaluated": 3,
        "without_ground_truth": 1,
        "without_prediction_h": 2,
        "without_prediction_lost": 1,
        "without_prediction_refined": 1,
    }
    assert evaluator.per_image["refined"] == [("a", True), ("b", True), ("c", False)]
    written = json.loads((tmp_path / "corloc_per_image.json").read_text())
    assert written["lost"] == [["a", 1], ["b", 0], ["c", 0]]


def test_evaluator_returns_floats_only(three_images):
    """Detectron2's EvalHook converts every leaf to a float."""
    evaluator = CorLocEvaluator(three_images)
    evaluator.process([{"image_id": "a"}], [output(lost=GOOD)])
    for group in evaluator.evaluate().values():
        assert all(float(value) == value for value in group.values())


def test_evaluator_scores_the_named_sources_only(three_images):
    evaluator = CorLocEvaluator(three_images, sources=["lost"])
    evaluator.process([{"image_id": "a"}], [output(lost=GOOD, refined=BAD)])
    assert list(evaluator.evaluate()["corloc"]) == ["lost"]
    evaluator = CorLocEvaluator(three_images, sources=["lots"])
    evaluator.process([{"image_id": "a"}], [output(lost=GOOD)])
    with pytest.raises(ValueError, match="lots"):
        evaluator.evaluate()


def test_evaluator_starts_anew_after_reset(three_images):
    evaluator = CorLocEvaluator(three_images)
    evaluator.process([{"image_id": "a"}], [output(lost=GOOD)])
    evaluator.reset()
    evaluator.process([{"image_id": "a"}], [output(lost=BAD)])
    assert evaluator.evaluate()["corloc"] == {"lost": 0.0}


def test_evaluator_gathers_ranks_and_counts_an_image_once(three_images, monkeypatch):
    other_rank = CorLocEvaluator(three_images)
    other_rank.process(
        [{"image_id": "a"}, {"image_id": "b"}], [output(lost=BAD), output(lost=GOOD)]
    )
    evaluator = CorLocEvaluator(three_images)
    evaluator.process([{"image_id": "a"}, {"image_id": "a"}], [output(lost=GOOD), output(lost=BAD)])
    monkeypatch.setattr(comm, "gather", lambda part, dst: [part, other_rank._top_boxes])
    results = evaluator.evaluate()
    assert evaluator.per_image["lost"] == [("a", True), ("b", True), ("c", False)]
    assert results["corloc_images"]["evaluated"] == 3


def test_evaluator_is_silent_on_other_ranks(three_images, monkeypatch):
    evaluator = CorLocEvaluator(three_images)
    evaluator.process([{"image_id": "a"}], [output(lost=GOOD)])
    monkeypatch.setattr(comm, "gather", lambda part, dst: [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluator.evaluate() == {}


def test_evaluator_refuses_a_data_set_without_labels(register):
    name = register([{"image_id": 1, "height": 5, "width": 5}])
    with pytest.raises(UserError, match="no labels"):
        CorLocEvaluator(name)


def test_evaluator_refuses_outputs_of_other_images(three_images):
    evaluator = CorLocEvaluator(three_images)
    evaluator.process([{"image_id": 1}], [output(lost=GOOD)])
    with pytest.raises(UserError, match="not among those of corloc_test_0"):
        evaluator.evaluate()


def test_evaluator_rounds_if_the_metadata_says_so(register):
    """[0, 0, 10, 10.5] rounds to 10 x 10; a box of 10 x 5 is half of it."""
    records = [record(1, annotation([0.0, 0.0, 10.0, 10.5]))]
    half = [0.0, 0.0, 10.0, 5.0]
    for rounds, expected in [(True, 100.0), (False, 0.0)]:
        evaluator = CorLocEvaluator(register(records, corloc_rounds_boxes=rounds))
        evaluator.process([{"image_id": 1}], [output(lost=half)])
        assert evaluator.evaluate()["corloc"] == {"lost": expected}


def test_release_truncates_only_the_boxes_of_h(register):
    """10 x 5.9 in 10 x 11 is a hit (59 / 110); truncated to 10 x 5 it is a miss (50 / 110)."""
    name = register([record(1, annotation([0.0, 0.0, 10.0, 11.0]))])
    box = [0.0, 0.0, 10.0, 5.9]
    for protocol, expected in [("release", 0.0), ("lost", 100.0)]:
        evaluator = CorLocEvaluator(name, protocol=protocol)
        evaluator.process([{"image_id": 1}], [output(h=[(box, 1.0)], lost=box)])
        assert evaluator.evaluate()["corloc"] == {"h": expected, "lost": 100.0}


def test_release_scores_a_box_of_nan_as_a_miss(register):
    name = register([record(1, annotation([0.0, 0.0, 10.0, 10.0]))])
    evaluator = CorLocEvaluator(name, protocol="release")
    evaluator.process([{"image_id": 1}], [output(h=[([float("nan")] * 4, 1.0)])])
    assert evaluator.evaluate()["corloc"] == {"h": 0.0}


def test_evaluator_takes_anything_with_boxes_and_scores(three_images):
    evaluator = CorLocEvaluator(three_images, distributed=False)
    boxes = SimpleNamespace(boxes=SQUARE, scores=torch.ones(1))
    evaluator.process([{"image_id": "a"}], [{"pseudo_boxes": {"tokencut": boxes}}])
    assert evaluator.evaluate()["corloc"] == pytest.approx({"tokencut": 100 / 3})
