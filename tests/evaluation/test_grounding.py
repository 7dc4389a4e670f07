"""Pointing and box accuracy, worked out by hand."""

import json

import pytest

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions, read_predictions

SPEC = "made:up"


def annotation(number, x, y, w, h, phrase, **more):
    return {"annotation_id": number, "bbox": [x, y, x + w, y + h], "bbox_mode": 0} | (
        {"phrase": phrase} if phrase else {}
    ) | more  # fmt: skip


def data_set(*annotations):
    """Return a data set with one image for each list of annotations."""
    records = [
        {"image_id": i + 1, "height": 60, "width": 100, "annotations": list(of_image)}
        for i, of_image in enumerate(annotations)
    ]
    return GroundTruth(SPEC, records)


DOG_AND_CAT = [annotation(1, 0, 0, 20, 20, "a dog"), annotation(2, 40, 0, 20, 20, "a cat")]


def grounded(image_id, number, point, bbox, **more):
    return {"image_id": image_id, "annotation_id": number, "point": point, "bbox": bbox} | more


def scored(tmp_path, truth, *entries):
    path = tmp_path / "grounding.json"
    path.write_text(json.dumps(list(entries)))
    return evaluate_predictions(truth, read_predictions(path), ["pointing", "box_acc"])


def test_two_of_four_pointed_at_and_one_boxed(tmp_path):
    truth = data_set(DOG_AND_CAT, [annotation(1, 10, 10, 30, 30, "a bird"), *DOG_AND_CAT[1:]])
    result = scored(
        tmp_path,
        truth,
        grounded(1, 1, [20, 20], [0, 0, 20, 10]),  # on the border; IoU is exactly a half
        grounded(1, 2, [39, 5], [0, 0, 20, 20]),  # beside the box
        grounded(2, 1, [15, 15], None),  # in the box; no predicted box
    )
    assert result.values == {"pointing": 50.0, "box_acc": 25.0}
    assert result.counts == {
        "phrases_evaluated": 4,
        "images_with_phrases": 2,
        "annotations_without_phrase": 0,
        "phrases_outside_image": 0,
        "phrases_without_record": 1,
        "phrases_without_box": 1,
    }
    assert result.warnings == []


def test_pointing_needs_any_of_several_boxes_and_box_accuracy_their_union(tmp_path):
    boxes = [[0, 0, 10, 10], [30, 0, 40, 10]]
    dogs = annotation(1, 0, 0, 40, 10, None, phrases=["dogs", "two dogs"], boxes=boxes)
    for point, bbox, values in (
        ([35, 5], [0, 0, 40, 10], (100.0, 100.0)),
        ([20, 5], [0, 0, 10, 10], (0.0, 0.0)),
    ):
        result = scored(tmp_path, data_set([dogs]), grounded(1, 1, point, bbox, phrase="two dogs"))
        assert tuple(result.values.values()) == values
        assert result.warnings == []


def test_annotations_without_phrase_and_crowds_are_counted_and_left_out(tmp_path):
    crowd = annotation(3, 0, 30, 50, 20, "people", iscrowd=1)
    truth = data_set([*DOG_AND_CAT, crowd, annotation(4, 60, 30, 20, 20, None)])
    entries = [grounded(1, number, [10, 10], [0, 0, 20, 20]) for number in (1, 2, 3)]
    result = scored(tmp_path, truth, *entries)
    assert result.counts["annotations_without_phrase"] == 2
    assert result.values == {"pointing": 50.0, "box_acc": 50.0}
    path = tmp_path / "grounding.json"
    assert result.warnings == [f"1 records of {path} are not in made:up: ignored"]


def test_a_box_outside_its_image_is_a_miss_and_is_counted(tmp_path):
    """The size of the image is 100 x 60 pixels."""
    beside = annotation(3, 100, 0, 20, 20, "a bird")
    half = annotation(4, 90, 50, 20, 20, "a cow", boxes=[[90, 50, 110, 70], [120, 0, 130, 10]])
    truth = data_set([DOG_AND_CAT[0], beside, half])
    entries = [grounded(1, number, [95, 55], [90, 50, 20, 20]) for number in (1, 3, 4)]
    result = scored(tmp_path, truth, *entries)
    assert result.counts["phrases_evaluated"] == 3
    assert result.counts["phrases_outside_image"] == 1
    assert result.values["pointing"] == pytest.approx(100 / 3)
    assert result.warnings == [
        "made:up: 1 phrases have no box inside their image "
        "(first: annotation 3 of image 1); they count as misses"
    ]


def test_another_phrase_is_a_warning(tmp_path):
    entry = grounded(1, 1, [1, 1], [0, 0, 20, 20], phrase="a horse")
    assert scored(tmp_path, data_set(DOG_AND_CAT), entry).warnings == [
        "1 records have another phrase than their annotation"
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"image_id": 1, "annotation_id": 1, "bbox": None}], "have no 'point'"),
        ([grounded(1, 1, [1], None)], r"point of annotation 1 is \[1\], not \[x, y\]"),
        ([grounded(1, 1, [1, float("nan")], None)], "point of annotation 1 is"),
        ([grounded(1, 1, [1, 1], [0, 0, 4])], r"bbox of annotation 1 is .*, or null"),
        ([grounded(1, [1], [1, 1], None)], "ids are whole numbers or texts"),
        ([grounded(1, 1, [1, 1], None)] * 2, "annotation 1 of image 1 has two records"),
        ([grounded(7, 1, [1, 1], None)], "0 of its 1 records are of annotations of made:up"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, entries, message):
    with pytest.raises(UserError, match=message):
        scored(tmp_path, data_set(DOG_AND_CAT), *entries)


def test_a_data_set_without_phrases_or_with_ids_twice_is_named(tmp_path):
    with pytest.raises(UserError, match="no annotation has a phrase"):
        scored(tmp_path, data_set([annotation(1, 0, 0, 9, 9, None)]), grounded(1, 1, [1, 1], None))
    with pytest.raises(UserError, match="two phrases of image 1 have the annotation id 1"):
        scored(tmp_path, data_set([DOG_AND_CAT[0]] * 2), grounded(1, 1, [1, 1], None))


def test_scenes_pointed_at_their_centres(tmp_path):
    truth = GroundTruth("scenes:val", load_spec("scenes:val+first=5").records)
    entries = []
    for record in truth.records:
        for place, annotation_of_record in enumerate(record["annotations"]):
            x1, y1, x2, y2 = annotation_of_record["bbox"]
            box = [x1, y1, x2 - x1, y2 - y1]
            entries.append(grounded(record["image_id"], place, [(x1 + x2) / 2, (y1 + y2) / 2], box))
    result = scored(tmp_path, truth, *entries)
    assert result.values == {"pointing": 100.0, "box_acc": 100.0}
