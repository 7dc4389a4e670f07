"""ILSVRC's classification and localisation data, sound and damaged."""

import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.datasets import imagenet_boxes
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.errors import UserError

XML = """<annotation><size><width>500</width><height>375</height></size>{}</annotation>"""
OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write the lists and the XML files of two validation images, without any image."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "ILSVRC"
    for folder in ("ImageSets/CLS-LOC", "Annotations/CLS-LOC/val", "Data/CLS-LOC/train"):
        (tree / folder).mkdir(parents=True)
    (tree / imagenet_boxes.TRAIN_LIST).write_text(
        "n01443537/n01443537_7 1\nn01440764/n01440764_10026 2\nn01440764/n01440764_3 3\n"
    )
    names = [f"ILSVRC2012_val_0000000{k}" for k in (2, 1)]
    (tree / imagenet_boxes.VAL_LIST).write_text(f"{names[0]} 1\n{names[1]} 2\n")
    fish, tench = "n01443537", "n01440764"
    for name, objects in zip(
        names, ([(fish, 45, 49, 499, 162), (fish, 0, 0, 9, 8)], [(tench, 1, 2, 3, 4)])
    ):
        text = XML.format("".join(OBJECT.format(*item) for item in objects))
        (tree / f"Annotations/CLS-LOC/val/{name}.xml").write_text(text)
    return tree


def test_train_opens_no_image_and_no_annotation(tree):
    dataset = load_spec("imagenet_loc_train")
    assert dataset.category_names == ["n01440764", "n01443537"] and not dataset.labelled
    assert [record["image_label"] for record in dataset.records] == [1, 0, 0]
    assert dataset.records[1] == {
        "file_name": str(tree / "Data/CLS-LOC/train/n01440764/n01440764_10026.JPEG"),
        "relative_name": "Data/CLS-LOC/train/n01440764/n01440764_10026.JPEG",
        "image_id": "n01440764_10026",
        "height": None,
        "width": None,
        "image_label": 0,
    }


def test_pseudo_labels_bring_the_sizes_of_readable_images(tree, tmp_path):
    names = [record["relative_name"] for record in load_spec("imagenet_loc_train").records]
    path = tree / names[0]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(path, "JPEG")
    stems = [name.rsplit("/", 1)[-1].removesuffix(".JPEG") for name in names]
    images = [
        {"id": stem, "file_name": name, "height": 4, "width": 6} for stem, name in zip(stems, names)
    ]
    write_pseudo_labels(tmp_path / "p.json", images=images, annotations=[], info={})
    records = load_spec(f"imagenet_loc_train+pseudo={tmp_path}/p.json").records
    assert [record["height"] for record in records] == [4, None, None]


def test_val(tree):
    dataset = load_spec("imagenet_loc_val")
    assert dataset.category_names == ["n01440764", "n01443537"] and dataset.labelled
    first, second = dataset.records
    assert first == {
        "file_name": str(tree / "Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG"),
        "relative_name": "Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG",
        "image_id": "ILSVRC2012_val_00000002",
        "height": 375,
        "width": 500,
        "image_label": 1,
        "annotations": [
            {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1, "iscrowd": 0}
            for box in ([45.0, 49.0, 499.0, 162.0], [0.0, 0.0, 9.0, 8.0])
        ],
    }
    assert second["image_label"] == 0


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], r"has the classes \[\]; expected one class of ImageSets/CLS-LOC/train_cls.txt"),
        ([("n1", 0, 0, 1, 1)], r"has the classes \['n1'\]; expected one"),
        ([("n01440764", 0, 0, 1, 1), ("n01443537", 0, 0, 1, 1)], "has the classes .*'n01443537'"),
        ([("n01440764", 0, 0, 1, "x")], "without a complete bndbox"),
    ],
)
def test_damaged_annotations(tree, objects, message):
    path = tree / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    path.write_text(XML.format("".join(OBJECT.format(*item) for item in objects)))
    with pytest.raises(UserError, match=message):
        load_spec("imagenet_loc_val")


@pytest.mark.parametrize("line", ["n01440764 1", "../n01440764_3 1", "a/b/c 1", "/n01440764_3 1"])
def test_damaged_lists(tree, line):
    (tree / imagenet_boxes.TRAIN_LIST).write_text(line)
    with pytest.raises(UserError, match="train_cls.txt' has the line .*; expected WNID/NAME"):
        load_spec("imagenet_loc_train")


def test_missing_and_empty_files(tree):
    (tree / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml").unlink()
    with pytest.raises(UserError, match="ILSVRC2012_val_00000001.xml' does not exist"):
        load_spec("imagenet_loc_val")
    (tree / imagenet_boxes.VAL_LIST).write_text("\n")
    with pytest.raises(UserError, match="val.txt' names no image"):
        load_spec("imagenet_loc_val")
    (tree / imagenet_boxes.TRAIN_LIST).unlink()
    with pytest.raises(UserError, match="train_cls.txt' does not exist"):
        load_spec("imagenet_loc_val")
