"""The file of a detector's boxes: with and without labels, and of a model without a detector."""

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.box_evaluator import build_box_evaluator, check_scores
from boxrefine_d2.structures import PseudoBoxes

SCENES = "scenes:val+first=3"
SIZE = (48, 64)


def output(*boxes):
    """Return the output of a model for an image: its boxes, best first, and those of a rule."""
    instances = Instances(SIZE)
    instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.linspace(0.9, 0.5, len(boxes))
    rule = PseudoBoxes(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.ones(1), SIZE)
    return {"instances": instances, "pseudo_boxes": {"lost": rule}}


def judge(spec, folder):
    info = {"method": "BoxRefiner"}
    return build_box_evaluator(register_spec(spec), protocol="lost", output_dir=folder, info=info)


def shown(spec, evaluator, outputs):
    """Show the outputs of the first images of a data set. Returns: the images' ids."""
    records = DatasetCatalog.get(register_spec(spec))[: len(outputs)]
    evaluator.process(records, outputs)
    return [record["image_id"] for record in records]


def test_boxes_of_h_are_written_beside_corloc(tmp_path):
    """The third image could not be read; a box without area is left out."""
    evaluator = judge(SCENES, tmp_path)
    check_scores(evaluator, SCENES, required=True)
    outputs = [output((1, 2, 30, 40), (5, 5, 5, 9)), output((0, 0, 20, 20), (0, 0, 9, 9))]
    ids = shown(SCENES, evaluator, outputs)
    assert set(evaluator.evaluate()) == {"corloc", "corloc_images"}
    labels = read_pseudo_labels(tmp_path / "detections.json")
    found = [(x["image_id"], x["bbox"], round(x["score"], 4)) for x in labels.annotations]
    assert found == [
        (ids[0], [1, 2, 29, 38], 0.9),
        (ids[1], [0, 0, 20, 20], 0.9),
        (ids[1], [0, 0, 9, 9], 0.5),
    ]
    assert [image["id"] for image in labels.images] == ids
    assert labels.info["method"] == "BoxRefiner" and len(labels.info["images_failed"]) == 1


def test_data_without_labels_gets_the_file_alone(tmp_path, photographs):
    spec = f"folder:{photographs}"
    evaluator = judge(spec, tmp_path)
    with pytest.raises(UserError, match="has no labels"):
        check_scores(evaluator, spec, required=True)
    check_scores(evaluator, spec, required=False)
    shown(spec, evaluator, [output((1, 2, 30, 40), (0, 0, 9, 9)), output()])
    assert evaluator.evaluate() == {"images": 2, "detections": 2}
    assert len(read_pseudo_labels(tmp_path / "detections.json").annotations) == 2
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_a_model_without_a_detector_writes_no_file(tmp_path, photographs):
    evaluator = judge(SCENES, tmp_path)
    rule_alone = {"pseudo_boxes": output()["pseudo_boxes"]}
    shown(SCENES, evaluator, [rule_alone])
    assert "lost" in evaluator.evaluate()["corloc"]
    assert not (tmp_path / "detections.json").exists()
    spec = f"folder:{photographs}"
    with pytest.raises(UserError, match="no detector whose boxes could be written; name a label"):
        shown(spec, judge(spec, tmp_path), [rule_alone])
