import json

import pytest
from pycocotools.coco import COCO

from boxrefine_d2.pseudo_labels.export import export_labels


def test_a_data_set_file_and_a_results_list(label_file, tmp_path, capsys):
    summary = export_labels(label_file(), "coco", tmp_path / "out", min_score=0.3)
    assert (summary.boxes, summary.left_out) == (2, 1)
    truth = COCO(str(tmp_path / "out/annotations.json"))
    results = truth.loadRes(str(tmp_path / "out/results.json"))
    capsys.readouterr()
    assert sorted(truth.getImgIds()) == [1, 2, 3]
    assert [truth.anns[i]["bbox"] for i in (1, 2)] == [[30, 10, 10, 20], [1.25, 2.5, 10.2, 8.1]]
    assert truth.anns[2]["area"] == pytest.approx(10.2 * 8.1)
    assert [results.anns[i]["score"] for i in (1, 2)] == [0.5, 0.75]


def test_no_key_of_this_package_is_left(label_file, tmp_path):
    images = [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30, "ours": 1}]
    annotation = {"image_id": 1, "score": 0.5, "bbox": [0, 0, 4, 4], "ours": 2}
    export_labels(label_file(images, [annotation]), "coco", tmp_path / "out")
    document = json.loads((tmp_path / "out/annotations.json").read_text())
    assert set(document) == {"images", "annotations", "categories"}
    assert set(document["images"][0]) == {"id", "file_name", "width", "height"}
    assert set(document["annotations"][0]) == {
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    }
    [result] = json.loads((tmp_path / "out/results.json").read_text())
    assert set(result) == {"image_id", "category_id", "bbox", "score"}


def test_masks_stay(mask_file, tmp_path):
    export_labels(mask_file, "coco", tmp_path / "out")
    source = json.loads(mask_file.read_text())["annotations"]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [r["segmentation"] for r in results] == [a["segmentation"] for a in reversed(source)]
    written = json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]
    assert [annotation["area"] for annotation in written] == [120, 100]
