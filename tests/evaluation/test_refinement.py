import torch
from detectron2.structures import Boxes, Instances

from boxrefine_d2.evaluation import RefinementEvaluator
from boxrefine_d2.structures import PseudoBoxes


def boxes(*corners) -> PseudoBoxes:
    return PseudoBoxes(torch.tensor([corners], dtype=torch.float32), torch.ones(1), (100, 100))


def output(before, after, h, target, shift):
    instances = Instances((100, 100))
    instances.pred_boxes = Boxes(torch.tensor([h, [0, 0, 1, 1]], dtype=torch.float32))
    return {
        "instances": instances,
        "pseudo_boxes": {"lost": boxes(*before), "refined": boxes(*after)},
        "detector_target": boxes(*target),
        "feature_shift": shift,
    }


def test_record_by_hand():
    """Two of four images are hits (one at exactly 0.5); one of four boxes changed.

    Two images have the same id in two data sets.
    """
    square, half = (0, 0, 10, 10), (0, 0, 10, 5)
    evaluator = RefinementEvaluator("lost")
    evaluator.process(
        [{"file_name": "a/1.jpg", "image_id": 1}, {"file_name": "b/1.jpg", "image_id": 1}],
        [
            output(square, square, square, half, 0.1),
            output(square, half, (50, 50, 60, 60), half, 0.2),
        ],
    )
    evaluator.process(
        [{"file_name": "a/2.jpg", "image_id": 2}, {"file_name": "a/3.jpg", "image_id": 3}],
        [output(square, square, (0, 0, 10, 4), square, 0.3), output(half, half, half, half, 0.4)],
    )
    result = evaluator.evaluate()
    assert result == {
        "images": 4,
        "h_hits_pseudo_box": 50,
        "boxes_changed": 25,
        "feature_shift": 0.25,
    }
    evaluator.reset()
    evaluator.process([{"file_name": "x"}], [output(square, half, square, square, 0.0)])
    assert evaluator.evaluate()["boxes_changed"] == 100


def test_without_an_image_only_their_number_is_returned(caplog):
    """A division by zero would lose a finished run at its last step."""
    assert RefinementEvaluator("lost").evaluate() == {"images": 0}
    assert "no image could be read" in caplog.text
