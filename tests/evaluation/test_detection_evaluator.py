"""Detections of a trained detector: the file and its numbers, by hand and by tools/evaluate.py."""

import json

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data.dataset_spec import escape_path, load_spec
from boxrefine_d2.data.pseudo_label_file import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.detection_evaluator import DetectionEvaluator
from tests.tool_modules import tool

HEIGHT, WIDTH = 80, 100
A, B, C = (10, 10, 50, 50), (60, 10, 90, 40), (20, 20, 60, 60)
UPPER_A, UPPER_C = (10, 10, 50, 30), (20, 20, 60, 40)  # IoU 0.5
WRONG, NOWHERE = (60, 50, 90, 75), (0, 0, 10, 10)
NAMES = ("ap", "ap50", "ap75", "ar100")


def mask(*boxes) -> np.ndarray:
    layers = np.zeros((len(boxes), HEIGHT, WIDTH), bool)
    for layer, (x1, y1, x2, y2) in zip(layers, boxes, strict=True):
        layer[y1:y2, x1:x2] = True
    return layers


def annotation(image_id, box, **more):
    x1, y1, x2, y2 = box
    rle = mask_codec.encode(np.asfortranarray(mask(box)[0].astype(np.uint8)))
    annotation = {"image_id": image_id, "category_id": 3, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    annotation["segmentation"] = rle | {"counts": rle["counts"].decode()}
    return annotation | {"area": (x2 - x1) * (y2 - y1), "iscrowd": 0} | more


@pytest.fixture(params=[(11, 12, 13), ("b", "a", "c")], ids=["numbers", "strings"])
def ids(request):
    return request.param


@pytest.fixture
def truth(tmp_path, ids):
    """Two objects in the first image, one in the second, none in the third; image files missing."""
    return written(tmp_path, ids, [(ids[0], A), (ids[0], B), (ids[1], C)])


def written(folder, ids, objects, **more) -> str:
    (folder / "images").mkdir(exist_ok=True)
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in ids
        ],
        "annotations": [
            annotation(i, box, **more) | {"id": n} for n, (i, box) in enumerate(objects)
        ],
        "categories": [{"id": 3, "name": "x"}],
    }
    (folder / "truth.json").write_text(json.dumps(content))
    return f"coco:{escape_path(folder / 'truth.json')}:{escape_path(folder / 'images')}"


def evaluator(spec, output, *, masks=False, protocol="lost", **info) -> DetectionEvaluator:
    return DetectionEvaluator(
        spec,
        load_spec(spec).records,
        protocol=protocol,
        rounds_boxes=False,
        masks=masks,
        output_dir=output,
        info=info,
    )


def output(*detections, with_masks=False):
    """Return a model output. Args: detections: (score, box) or (score, box, box of the mask)."""
    instances = Instances((HEIGHT, WIDTH))
    boxes = [d[1] for d in detections]
    instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.tensor([d[0] for d in detections])
    instances.pred_classes = torch.zeros(len(detections), dtype=torch.long)
    if with_masks:
        instances.pred_masks = torch.from_numpy(mask(*(d[-1] for d in detections)))
    return {"instances": instances}


def outputs(ids, *, with_masks=False):
    """Return outputs by image id.

    The best box of the first image is wrong; that of the second has an IoU of exactly 0.5.
    """
    return {
        ids[0]: output((0.92, WRONG), (0.9, A, UPPER_A), (0.7, B), with_masks=with_masks),
        ids[1]: output((0.95, UPPER_C, C), with_masks=with_masks),
        ids[2]: output((0.6, NOWHERE), with_masks=with_masks),
    }


def process(judge, outputs_of):
    judge.process([{"image_id": i} for i in outputs_of], list(outputs_of.values()))


# Detections by falling score: C 0.95, wrong 0.92, A 0.9, B 0.7, nowhere 0.6; three objects. At an
# IoU of 0.5, C, A and B are hits: the precision is 1 up to recall 1/3 (34 of 101 points), then 3/4
# (67 points). Above 0.5 the half box of C is a miss: the precision is 1/2 up to recall 2/3 (67
# points). Nine of ten thresholds are above 0.5.
AT_50, ABOVE = (34 + 67 * 0.75) / 101, 67 * 0.5 / 101
BY_HAND = {
    "corloc": 50.0,  # of two images with objects
    "ap": 100 * (AT_50 + 9 * ABOVE) / 10,
    "ap50": 100 * AT_50,
    "ap75": 100 * ABOVE,
    "ar100": 100 * (1 + 9 * 2 / 3) / 10,
}
# The mask of C is whole and that of A is half. Above 0.5 the precision is 1 up to recall 1/3, then
# 1/2 up to recall 2/3 (33 points).
MASKS_BY_HAND = {
    "segm_ap": 100 * (AT_50 + 9 * (34 + 33 * 0.5) / 101) / 10,
    "segm_ap50": 100 * AT_50,
}


def test_the_worked_example(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out")
    process(judge, outputs(ids))
    result = judge.evaluate()
    assert {name: result[name] for name in BY_HAND} == pytest.approx(BY_HAND, rel=1e-9)
    assert not [name for name in result if name.startswith("segm")]
    counts = ("images_evaluated", "images_without_ground_truth", "ap_images_evaluated")
    assert [result[name] for name in counts] == [2, 1, 3]
    assert result["ap_ground_truth_boxes"] == 3
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result


def test_the_worked_example_with_masks(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out", masks=True)
    process(judge, outputs(ids, with_masks=True))
    result = judge.evaluate()
    expected = BY_HAND | MASKS_BY_HAND
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-9)


@pytest.fixture(scope="module")
def evaluate_tool():
    return tool("evaluate").main


def test_the_file_holds_pseudo_labels_that_the_tool_scores_alike(
    truth, ids, tmp_path, evaluate_tool
):
    judge = evaluator(truth, tmp_path / "out", masks=True, method="CAD")
    process(judge, outputs(ids, with_masks=True))
    result = judge.evaluate()
    path = tmp_path / "out" / "detections.json"
    labels = read_pseudo_labels(path)
    assert [image["id"] for image in labels.images] == sorted(ids)
    assert labels.images[0] | {"id": 0} == {
        "id": 0,
        "file_name": f"{sorted(ids)[0]}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
    }
    of_second = [a for a in labels.annotations if a["image_id"] == ids[1]]
    assert len(labels.annotations) == 5 and len(of_second) == 1
    assert of_second[0]["bbox"] == [20, 20, 40, 20]  # the original image's pixels, XYWH
    assert of_second[0]["score"] == pytest.approx(0.95)
    assert mask_codec.decode(of_second[0]["segmentation"]).astype(bool)[None].sum() == mask(C).sum()
    assert labels.info["method"] == "CAD" and labels.info["images_asked_for"] == 3
    assert labels.info["images_failed"] == []
    metrics = ",".join((*BY_HAND, *MASKS_BY_HAND))
    again = tmp_path / "again.json"
    arguments = ["--gt", truth, "--pred", str(path), "--metrics", metrics, "--json", str(again)]
    assert evaluate_tool(arguments) == 0
    assert json.loads(again.read_text()) == result
    relearnt = load_spec(f"{truth}+pseudo={escape_path(path)}").records
    assert {r["image_id"]: len(r["annotations"]) for r in relearnt} == dict(
        zip(ids, (3, 1, 1), strict=True)
    )


def test_nothing_detected_is_zero_and_the_file_is_there(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out", masks=True)
    process(judge, dict.fromkeys(ids, output(with_masks=True)))
    result = judge.evaluate()
    assert {name: result[name] for name in (*BY_HAND, *MASKS_BY_HAND)} == dict.fromkeys(
        (*BY_HAND, *MASKS_BY_HAND), 0.0
    )
    assert (result["images_evaluated"], result["images_without_ground_truth"]) == (2, 1)
    labels = read_pseudo_labels(tmp_path / "out" / "detections.json")
    assert len(labels.images) == 3 and labels.annotations == []


def test_boxes_without_area_are_left_out(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out")
    flat, thin = (10, 10, 50, 10), (10, 10, 10, 50)
    process(judge, outputs(ids) | {ids[1]: output((0.99, flat), (0.98, thin), (0.95, UPPER_C))})
    assert judge.evaluate()["corloc"] == 50.0
    labels = read_pseudo_labels(tmp_path / "out" / "detections.json")
    assert len(labels.annotations) == 5


def test_reset_forgets_all_outputs(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out")
    process(judge, outputs(ids))
    judge.reset()
    process(judge, {ids[1]: output((0.5, C))})
    result = judge.evaluate()
    assert result["corloc"] == 50.0 and result["ap50"] == pytest.approx(100 * 34 / 101)


def of_ranks(monkeypatch, judges, main=True):
    monkeypatch.setattr(comm, "synchronize", lambda: None)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [judge._entries_of for judge in judges])
    monkeypatch.setattr(comm, "is_main_process", lambda: main)


def test_two_ranks_give_the_result_of_one_and_a_repeated_image_counts_once(
    truth, ids, tmp_path, monkeypatch
):
    alone = evaluator(truth, tmp_path / "alone")
    process(alone, outputs(ids))
    expected = alone.evaluate()
    judges = [evaluator(truth, tmp_path / "two") for _ in range(2)]
    outputs_of = outputs(ids)
    process(judges[0], {ids[2]: outputs_of[ids[2]], ids[0]: outputs_of[ids[0]]})
    process(judges[1], {ids[1]: outputs_of[ids[1]]})
    process(judges[1], {ids[2]: output((0.99, WRONG))})  # a sampler pads its last batch like this
    of_ranks(monkeypatch, judges)
    assert judges[0].evaluate() == expected
    one, two = (tmp_path / name / "detections.json" for name in ("alone", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_other_ranks_write_and_return_nothing(truth, ids, tmp_path, monkeypatch):
    judge = evaluator(truth, tmp_path / "out")
    process(judge, outputs(ids))
    of_ranks(monkeypatch, [judge], main=False)
    assert judge.evaluate() == {}
    assert not (tmp_path / "out").exists()


def test_data_without_labels_are_counted(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    judge = evaluator(f"folder:{escape_path(tmp_path)}", tmp_path / "out", masks=True)
    process(judge, {1: output((0.9, A), (0.8, B)), 2: output()})
    assert judge.evaluate() == {"images": 2, "detections": 2}
    labels = read_pseudo_labels(tmp_path / "out" / "detections.json")
    assert [image["file_name"] for image in labels.images] == ["a.png", "b.png"]
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_an_image_that_could_not_be_read_is_named_in_the_file(tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")  # its size is unknown
    judge = evaluator(f"folder:{escape_path(tmp_path)}", tmp_path / "out")
    process(judge, {1: output((0.9, A))})
    assert judge.evaluate() == {"images": 1, "detections": 1}
    labels = read_pseudo_labels(tmp_path / "out" / "detections.json")
    assert [image["id"] for image in labels.images] == [1]
    assert labels.info["images_asked_for"] == 2
    assert [failure["file_name"] for failure in labels.info["images_failed"]] == ["b.png"]


def test_an_image_that_could_not_be_read_is_a_miss(truth, ids, tmp_path):
    judge = evaluator(truth, tmp_path / "out")
    process(judge, {ids[0]: output((0.9, A))})
    result = judge.evaluate()
    assert result["corloc"] == 50.0 and result["images_without_prediction"] == 1
    labels = read_pseudo_labels(tmp_path / "out" / "detections.json")
    assert len(labels.info["images_failed"]) == 2


def test_masks_of_crowds_alone_are_not_scored(tmp_path):
    spec = written(tmp_path, [1, 2], [(1, A)])
    content = json.loads((tmp_path / "truth.json").read_text())
    del content["annotations"][0]["segmentation"]
    content["annotations"].append(annotation(2, B, iscrowd=1, id=7))
    (tmp_path / "truth.json").write_text(json.dumps(content))
    judge = evaluator(spec, tmp_path / "out", masks=True)
    process(judge, {1: output((0.9, A), with_masks=True), 2: output(with_masks=True)})
    result = judge.evaluate()
    assert result["ap"] == pytest.approx(100) and "segm_ap" not in result


@pytest.mark.parametrize(
    ("objects", "changes", "message"),
    [
        ([], {}, "none of its 2 images has an annotation"),
        ([(1, A)], {"iscrowd": 1}, "none of the 2 images has a ground-truth box"),
        ([(1, A)], {"bbox": [60, 40, 90, 70]}, r"write bbox as \[x, y, width, height\]"),
        (
            [(1, A)],
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "522"}},
            "image 1: a segmentation cannot be decoded",
        ),
        (
            [(1, A)],
            {"segmentation": {"size": [160, 50], "counts": "`g4"}},
            "a segmentation is 50 x 160 pixels, the image 100 x 80",
        ),
    ],
)
def test_labels_that_cannot_be_scored_are_one_line_before_training(
    tmp_path, objects, changes, message
):
    spec = written(tmp_path, [1, 2], objects, **changes)
    with pytest.raises(UserError, match=message) as caught:
        evaluator(spec, tmp_path / "out", masks=True)
    assert "\n" not in str(caught.value)


def test_without_an_easy_object_average_precision_is_not_defined(tmp_path):
    records = load_spec(written(tmp_path, [1], [(1, A)])).records
    records[0]["annotations"][0]["difficult"] = True
    settings = {"rounds_boxes": False, "masks": False, "output_dir": tmp_path}
    with pytest.raises(UserError, match="neither a crowd nor difficult"):
        DetectionEvaluator("voc", records, protocol="lost", **settings)


def test_an_unknown_protocol_is_refused(truth, tmp_path):
    with pytest.raises(UserError, match="protocol 'voc' is unknown; known: lost"):
        evaluator(truth, tmp_path, protocol="voc")
