"""Named data sets, found below $DETECTRON2_DATASETS."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from boxrefine_d2.data import coco20k
from boxrefine_d2.data.registered import NAMED_DATASETS, datasets_root, load_named
from boxrefine_d2.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def _write_coco(folder, json_name, images, ids=(2, 1), prefix="COCO_train2014_"):
    (folder / images).mkdir(parents=True)
    (folder / json_name).parent.mkdir(parents=True, exist_ok=True)
    document = {
        "images": [
            {"id": i, "file_name": f"{prefix}{i:012d}.jpg", "height": 4, "width": 5} for i in ids
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 18, "bbox": [0.4, 0, 1.2, 2], "iscrowd": i % 2}
            for i in ids
        ],
        "categories": [{"id": 18, "name": "dog"}],
    }
    (folder / json_name).write_text(json.dumps(document))


def test_root_is_read_from_the_environment(monkeypatch):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    assert datasets_root() == Path("datasets")
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    assert datasets_root() == Path.home() / "sets"


@pytest.mark.parametrize("name", NAMED_DATASETS)
def test_missing_tree_names_the_folder(root, name):
    with pytest.raises(
        UserError,
        match=f"'{name}' is not there: looked for the folder '{root}.*DETECTRON2_DATASETS",
    ):
        load_named(name)


@pytest.mark.parametrize(
    ("name", "tree", "json_name", "images"),
    [
        ("coco_2014_train", "coco", "annotations/instances_train2014.json", "train2014"),
        ("coco_2017_train", "coco", "annotations/instances_train2017.json", "train2017"),
        ("coco_2017_val", "coco", "annotations/instances_val2017.json", "val2017"),
        ("cutouts_train", "cutouts", "train.json", "train"),
        ("cutouts_val", "cutouts", "val.json", "val"),
    ],
)
def test_coco_trees(root, name, tree, json_name, images):
    _write_coco(root / tree, json_name, images)
    dataset = load_named(name)
    assert [record["image_id"] for record in dataset.records] == [1, 2]
    assert dataset.category_names == ["dog"] and dataset.category_ids == [18]
    assert dataset.records[0]["file_name"].startswith(str(root / tree / images))


def test_voc_trees(root):
    for year, split in ((2007, "test"), (2012, "trainval")):
        tree = root / f"VOC{year}"
        for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (tree / folder).mkdir(parents=True)
        (tree / f"ImageSets/Main/{split}.txt").write_text("2008_000008\n")
        (tree / "Annotations/2008_000008.xml").write_text("<annotation/>")
        Image.new("RGB", (5, 4)).save(tree / "JPEGImages/2008_000008.jpg")
        dataset = load_named(f"voc_{year}_{split}")
        assert dataset.records[0]["image_id"] == "2008_000008" and dataset.records[0]["height"] == 4
        assert len(dataset.category_names) == 20 and dataset.category_ids == list(range(1, 21))


@pytest.fixture
def coco20k_tree(root, monkeypatch):
    """Three images of train2014, of which the list has two."""
    _write_coco(root / "coco", "annotations/instances_train2014.json", "train2014", ids=(3, 2, 1))
    content = (
        b"train2014/COCO_train2014_000000000003.jpg\ntrain2014/COCO_train2014_000000000001.jpg\n"
    )
    (root / "coco" / "coco20k.txt").write_bytes(content)
    monkeypatch.setattr(coco20k, "LIST_LENGTH", 2)
    monkeypatch.setattr(coco20k, "LIST_MD5", hashlib.md5(content).hexdigest())
    return root / "coco"


def test_coco20k(coco20k_tree):
    dataset = load_named("coco20k")
    assert [record["image_id"] for record in dataset.records] == [1, 3]
    first = dataset.records[0]
    assert first["relative_name"] == "train2014/COCO_train2014_000000000001.jpg"
    assert first["file_name"] == str(coco20k_tree / "train2014/COCO_train2014_000000000001.jpg")
    assert first["annotations"][0]["iscrowd"] == 1  # kept, the evaluator drops it
    assert first["annotations"][0]["bbox"] == [0.4, 0.0, 1.6, 2.0]  # not rounded
    assert dataset.corloc_rounds_boxes


def test_coco20k_list_is_checked(coco20k_tree):
    path = coco20k_tree / "coco20k.txt"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(reversed(lines)) + b"\n")
    with pytest.raises(
        UserError, match="not the list of COCO20k: 2 lines, md5 [0-9a-f]{32}, expected 2 lines"
    ):
        load_named("coco20k")
    path.unlink()
    with pytest.raises(UserError, match="coco20k.txt', does not exist.*LOST"):
        load_named("coco20k")


def test_coco20k_images_must_be_in_the_annotation_file(coco20k_tree):
    path = coco20k_tree / "annotations/instances_train2014.json"
    document = json.loads(path.read_text())
    document["images"].pop(0)
    document["annotations"].pop(0)
    path.write_text(json.dumps(document))
    with pytest.raises(
        UserError, match="1 of the 2 images of COCO20k.*COCO_train2014_000000000003.jpg"
    ):
        load_named("coco20k")
