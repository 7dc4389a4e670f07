"""Registered data sets below $DETECTRON2_DATASETS."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.datasets import coco20k
from boxrefine_d2.data.datasets.registered import (
    NAMED_DATASETS,
    datasets_root,
    load_named,
    needed_paths,
)
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
def test_the_error_for_a_missing_tree_names_the_folder(root, name):
    with pytest.raises(
        UserError,
        match=f"'{name}' is not there: looked for the folder '{root}.*DETECTRON2_DATASETS",
    ):
        load_named(name)


@pytest.mark.parametrize(
    ("name", "tree", "json_name", "images"),
    [
        ("coco_2014_train", "coco", "annotations/instances_train2014.json", "train2014"),
        ("coco_2014_val", "coco", "annotations/instances_val2014.json", "val2014"),
        ("coco_2017_train", "coco", "annotations/instances_train2017.json", "train2017"),
        ("coco_2017_val", "coco", "annotations/instances_val2017.json", "val2017"),
        ("uvo_sparse_val", "uvo", "FrameSet/UVO_frame_val.json", "uvo_videos_sparse_frames"),
        ("objects365_val", "objects365", "annotations/zhiyuan_objv2_val.json", "val"),
        ("cutouts_train", "cutouts", "train.json", "train"),
        ("cutouts_val", "cutouts", "val.json", "val"),
        ("photos_val", "photos/val", "annotations.json", "images"),
        ("photos_coco_train", "photos/coco_train", "annotations.json", "images"),
    ],
)
def test_coco_trees(root, name, tree, json_name, images):
    _write_coco(root / tree, json_name, images)
    dataset = load_named(name)
    assert [record["image_id"] for record in dataset.records] == [1, 2]
    assert dataset.category_names == ["dog"] and dataset.category_ids == [18]
    assert dataset.records[0]["file_name"].startswith(str(root / tree / images))


def _write_voc(tree, split, name, class_name="dog"):
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / f"ImageSets/Main/{split}.txt").write_text(f"{name}\n")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox>"
    (tree / f"Annotations/{name}.xml").write_text(
        f"<annotation><object><name>{class_name}</name>{box}</object></annotation>"
    )
    Image.new("RGB", (5, 4)).save(tree / f"JPEGImages/{name}.jpg")


def test_voc_trees(root):
    for year, split in ((2007, "test"), (2012, "trainval")):
        _write_voc(root / f"VOC{year}", split, "2008_000008")
        dataset = load_named(f"voc_{year}_{split}")
        assert dataset.records[0]["image_id"] == "2008_000008" and dataset.records[0]["height"] == 4
        assert len(dataset.category_names) == 20 and dataset.category_ids == list(range(1, 21))


@pytest.mark.parametrize(
    ("name", "tree", "splits", "classes"),
    [
        ("voc_2007_trainvaltest", "VOC2007", ("trainval", "test"), 20),
        ("clipart_traintest", "clipart", ("train", "test"), 20),
        ("watercolor_traintest", "watercolor", ("train", "test"), 6),
        ("comic_traintest", "comic", ("train", "test"), 6),
        ("comic_test", "comic", ("test",), 6),
    ],
)
def test_several_voc_splits_form_one_data_set(root, name, tree, splits, classes):
    for split in splits:
        _write_voc(root / tree, split, f"of_{split}")
    dataset = load_named(name)
    assert [record["image_id"] for record in dataset.records] == [f"of_{s}" for s in splits]
    assert len(dataset.category_names) == classes
    agnostic = load_spec(f"{name}+agnostic")
    assert agnostic.category_names == ["object"]
    assert [a["category_id"] for r in agnostic.records for a in r["annotations"]] == [0] * len(
        splits
    )


@pytest.mark.parametrize(
    ("name", "json_name"),
    [
        ("lvis_v1_val", "lvis/lvis_v1_val.json"),
        ("lvis_v1_val_cocofied", "coco/annotations/lvis1.0_cocofied_val_cls_agnostic.json"),
    ],
)
def test_lvis_reads_the_images_of_coco(root, name, json_name):
    (root / "coco/val2017").mkdir(parents=True)
    (root / json_name).parent.mkdir(parents=True)
    image = {"id": 3, "coco_url": "x/val2017/3.jpg", "height": 4, "width": 5}
    document = {"images": [image], "annotations": [], "categories": []}
    (root / json_name).write_text(json.dumps(document))
    (record,) = load_spec(f"{name}+agnostic").records
    assert record["file_name"] == str(root / "coco/val2017/3.jpg")
    assert [path for path in needed_paths(name) if not path.exists()] == [root / "coco/train2017"]


def test_needed_paths_are_the_paths_that_a_loader_opens(root):
    """The error of a loader names one of its needed paths while these are missing."""
    assert needed_paths("uvo_dense_val") == [
        root / "uvo",
        root / "uvo/VideoDenseSet/UVO_video_val_dense.json",
        root / "uvo/uvo_videos_dense_frames",
    ]
    for name, dataset in NAMED_DATASETS.items():
        (root / dataset.tree).mkdir(parents=True, exist_ok=True)
        with pytest.raises(UserError) as caught:
            load_named(name)
        # For a VOC tree without lists, the message names the folder of the lists.
        quoted = str(caught.value).split("'")
        needed = needed_paths(name)[1:]
        assert {str(path) for path in (*needed, needed[0].parent)} & set(quoted), name


@pytest.fixture
def coco20k_tree(root, monkeypatch):
    """Write a tree with three images of train2014, two of them in the list."""
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
    assert first["annotations"][0]["iscrowd"] == 1  # kept here; the evaluator drops it
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
