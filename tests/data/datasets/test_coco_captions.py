"""COCO captions in a small made-up tree."""

import json

import pytest
from PIL import Image

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.mappers.phrase import phrases_of
from boxrefine_d2.errors import UserError


@pytest.fixture
def captions(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (tmp_path / "coco/train2014").mkdir(parents=True)
    (tmp_path / "coco/annotations").mkdir()
    Image.new("RGB", (9, 8)).save(tmp_path / "coco/train2014/b.jpg")
    path = tmp_path / "coco/annotations/captions_train2014.json"
    names = ((2, "b.jpg"), (1, "a.jpg"))
    images = [{"id": i, "file_name": n, "width": 9, "height": 8} for i, n in names]
    annotations = [
        {"id": 7, "image_id": 2, "caption": "A dog runs.\n"},
        {"id": 8, "image_id": 2, "caption": "A dog runs."},
        {"id": 9, "image_id": 1, "caption": "Grass"},
    ]

    def write(entries=annotations):
        path.write_text(json.dumps({"images": images, "annotations": entries}))
        return path

    write()
    return write


def test_captions_of_each_image(captions):
    dataset = load_spec("coco_captions_2014_train")
    first, second = dataset.records
    assert not dataset.labelled and "annotations" not in first
    assert (first["image_id"], first["captions"]) == (1, ["Grass"])
    assert second["captions"] == ["A dog runs."] * 2 and phrases_of(second) == ["A dog runs."]


def test_errors_name_the_caption(captions):
    for entry in ({"id": 1, "image_id": 3, "caption": "x"}, {"id": 1, "image_id": 2}):
        captions([entry])
        with pytest.raises(UserError, match="annotation 1 is no caption of an image of the file"):
            load_spec("coco_captions_2014_train")
    captions([])
    with pytest.raises(UserError, match="none of its 2 images has a caption"):
        load_spec("coco_captions_2014_train")
