"""Tiny-ImageNet trees, sound and damaged."""

import pytest
from detectron2.structures import BoxMode

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.errors import UserError

WNIDS = ("n02124075", "n01443537")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write the tables of two classes, without any image."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "tiny-imagenet-200"
    for wnid in WNIDS:
        (tree / "train" / wnid).mkdir(parents=True)
        lines = [f"{wnid}_{k}.JPEG\t0\t10\t63\t{50 + k}\n" for k in (0, 1)]
        (tree / f"train/{wnid}/{wnid}_boxes.txt").write_text("".join(lines))
    (tree / "wnids.txt").write_text("\n".join(WNIDS))
    (tree / "val").mkdir()
    (tree / "val/val_annotations.txt").write_text(
        "val_0.JPEG\tn02124075\t0\t32\t44\t62\nval_1.JPEG\tn01443537\t52\t55\t57\t59\n"
    )
    return tree


def test_train(tree):
    dataset = load_spec("tiny_imagenet_train")
    assert dataset.category_names == ["n01443537", "n02124075"] and dataset.category_ids == [1, 2]
    assert [(r["image_id"], r["image_label"]) for r in dataset.records] == [
        ("n01443537_0", 0),
        ("n01443537_1", 0),
        ("n02124075_0", 1),
        ("n02124075_1", 1),
    ]
    assert dataset.records[3] == {
        "file_name": str(tree / "train/n02124075/images/n02124075_1.JPEG"),
        "relative_name": "train/n02124075/images/n02124075_1.JPEG",
        "image_id": "n02124075_1",
        "height": 64,
        "width": 64,
        "image_label": 1,
        "annotations": [
            {
                "bbox": [0.0, 10.0, 64.0, 52.0],
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": 1,
                "iscrowd": 0,
            }
        ],
    }


def test_val(tree):
    records = load_spec("tiny_imagenet_val").records
    assert [(r["relative_name"], r["image_label"]) for r in records] == [
        ("val/images/val_0.JPEG", 1),
        ("val/images/val_1.JPEG", 0),
    ]
    assert records[0]["annotations"][0]["bbox"] == [0.0, 32.0, 45.0, 63.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "val_0.JPEG\tn99999999\t0\t1\t2\t3",
            "has the class 'n99999999', not in wnids.txt",
        ),
        ("val_0.JPEG\tn01443537\t0\t1\t2", "line 1, is .*; expected 6 columns"),
        ("../a.JPEG\tn01443537\t0\t1\t2\t3", "expected 6 columns"),
        ("val_0.JPEG\tn01443537\t0\t1\t2\tx", "has the box '0 1 2 x'; it must be numbers"),
        ("", "val_annotations.txt' is empty"),
    ],
)
def test_damaged_tables(tree, line, message):
    (tree / "val/val_annotations.txt").write_text(line)
    with pytest.raises(UserError, match=message):
        load_spec("tiny_imagenet_val")


def test_missing_tables(tree):
    (tree / f"train/{WNIDS[0]}/{WNIDS[0]}_boxes.txt").unlink()
    with pytest.raises(UserError, match=f"{WNIDS[0]}_boxes.txt' does not exist"):
        load_spec("tiny_imagenet_train")
    (tree / "wnids.txt").unlink()
    with pytest.raises(UserError, match="wnids.txt' does not exist"):
        load_spec("tiny_imagenet_val")
