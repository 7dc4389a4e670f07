"""LVIS files: images named by URL, in two of COCO's folders."""

import json

import pytest

from boxrefine_d2.data.datasets.lvis import load_lvis
from boxrefine_d2.errors import UserError

URL = "http://images.example/{}/{:012d}.jpg"


def write_lvis(root, **first_image):
    """Write a file with image 9 of train2017 and image 4 of val2017.

    Each image has one polygon. The category ids are 1203 and 1.
    """
    for split in ("train2017", "val2017"):
        (root / "coco" / split).mkdir(parents=True)
    (root / "lvis").mkdir()
    size = {"height": 20, "width": 30, "neg_category_ids": [5], "not_exhaustive_category_ids": [1]}
    polygon = [[2.0, 3.0, 12.5, 3.0, 12.5, 9.0]]
    document = {
        "images": [
            {"id": 9, "coco_url": URL.format("train2017", 9), **size, **first_image},
            {"id": 4, "coco_url": URL.format("val2017", 4), **size},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1203, "bbox": [2.0, 3.0, 10.5, 6.0],
             "area": 31.5, "segmentation": polygon},
            {"id": 2, "image_id": 4, "category_id": 1, "bbox": [0, 0, 30, 20],
             "area": 600, "segmentation": polygon},
        ],
        "categories": [
            {"id": 1203, "name": "zucchini", "synset": "zucchini.n.02", "frequency": "c"},
            {"id": 1, "name": "aerosol_can", "synset": "aerosol.n.02", "frequency": "c"},
        ],
    }  # fmt: skip
    path = root / "lvis" / "lvis_v1_val.json"
    path.write_text(json.dumps(document))
    return path, root / "coco"


def test_images_are_found_by_their_url(tmp_path):
    path, coco = write_lvis(tmp_path)
    dataset = load_lvis(path, coco)
    assert [record["image_id"] for record in dataset.records] == [4, 9]
    first, second = dataset.records
    assert first["relative_name"] == "val2017/000000000004.jpg"
    assert second["file_name"] == str(coco / "train2017" / "000000000009.jpg")
    assert (second["height"], second["width"]) == (20, 30)
    (zucchini,) = second["annotations"]
    assert zucchini["bbox"] == [2.0, 3.0, 12.5, 9.0] and zucchini["iscrowd"] == 0
    assert zucchini["segmentation"] == [[2.0, 3.0, 12.5, 3.0, 12.5, 9.0]]
    assert dataset.category_names == ["aerosol_can", "zucchini"]
    assert dataset.category_ids == [1, 1203] and zucchini["category_id"] == 1
    assert dataset.labelled


def test_the_url_is_preferred_and_a_file_name_alone_suffices(tmp_path):
    path, coco = write_lvis(tmp_path, file_name="000000000009.jpg")
    assert load_lvis(path, coco).records[1]["relative_name"] == "train2017/000000000009.jpg"
    document = json.loads(path.read_text())
    document["images"][0] = {"id": 9, "file_name": "val2017/9.jpg", "height": 2, "width": 3}
    path.write_text(json.dumps(document))
    assert load_lvis(path, coco).records[1]["relative_name"] == "val2017/9.jpg"


def test_errors_name_the_file_or_folder(tmp_path):
    path, coco = write_lvis(tmp_path, coco_url=None)
    with pytest.raises(UserError, match="image 9 has no 'file_name'"):
        load_lvis(path, coco)
    with pytest.raises(UserError, match="image folder .*nowhere' of .*lvis_v1_val.json"):
        load_lvis(path, tmp_path / "nowhere")
    with pytest.raises(UserError, match="LVIS file .*gone.json' does not exist"):
        load_lvis(tmp_path / "gone.json", coco)
