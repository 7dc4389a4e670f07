import logging

import pytest

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.export import labelled_images
from boxrefine_d2.pseudo_labels.export.labelled_images import decimal


def load(path, **choice):
    return labelled_images(read_pseudo_labels(path), str(path), **choice)


def test_every_image_best_box_first(label_file):
    images = load(label_file())
    assert [image.file_name for image in images] == ["a.jpg", "cats/a.jpg", "dogs/old ones/a.png"]
    assert [[box.score for box in image.boxes] for image in images] == [[0.5], [0.75, 0.25], []]
    assert images[0].boxes[0].xyxy == (30, 10, 40, 30)
    assert images[0].boxes[0].area == 200


def test_chosen_boxes(label_file):
    path = label_file()
    assert [len(image.boxes) for image in load(path, min_score=0.5)] == [1, 1, 0]
    assert [len(image.boxes) for image in load(path, max_boxes=1)] == [1, 1, 0]
    assert load(path, max_boxes=1)[1].boxes[0].score == 0.75


def test_equal_scores_keep_the_order_of_the_file(label_file):
    equal = [{"image_id": 1, "score": 0.5, "bbox": [x, 0, 5, 5]} for x in (7, 3, 5)]
    assert [box.xyxy[0] for box in load(label_file(annotations=equal))[0].boxes] == [7, 3, 5]


def test_boxes_beyond_the_image_are_cut_and_counted(label_file, caplog):
    reaching = [
        {"image_id": 1, "score": 1.0, "bbox": [-5, 20, 10, 15]},
        {"image_id": 1, "score": 0.9, "bbox": [40, 0, 5, 5]},
        {"image_id": 1, "score": 0.8, "bbox": [30, 0, 10.0004, 5]},  # a rounding error; not counted
    ]
    with caplog.at_level(logging.WARNING):
        boxes = load(label_file(annotations=reaching))[0].boxes
    assert [box.xyxy for box in boxes] == [(0, 20, 5, 30), (30, 0, 40, 5)]
    assert "2 boxes reach beyond their image and were cut to it; 1 lie outside" in caplog.text


@pytest.mark.parametrize("size", [{"width": 0, "height": 5}, {"width": 5, "height": None}])
def test_an_image_without_a_size(label_file, size):
    path = label_file(images=[{"id": 1, "file_name": "a.jpg", **size}], annotations=[])
    with pytest.raises(UserError, match=r"image 'a.jpg' has width .* and height"):
        load(path)


@pytest.mark.parametrize("choice", [{"max_boxes": 0}, {"min_score": float("nan")}])
def test_an_invalid_choice_is_refused(label_file, choice):
    with pytest.raises(UserError):
        load(label_file(), **choice)


def test_decimals():
    assert [decimal(x) for x in (12.0, 0.1 + 0.2, 1e-9, -1e-9, 100.0)] == [
        *("12", "0.3", "0", "0", "100")
    ]
