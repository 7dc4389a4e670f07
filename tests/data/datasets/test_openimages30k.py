"""OpenImages30k in the layout of the published evaluation."""

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.data.dataset_spec import load_spec


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write one image per split; those of val and test have masks."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "openimages30k"
    for split in ("train", "val", "test"):
        (tree / split / "01226z").mkdir(parents=True)
        (tree / "metadata" / split).mkdir(parents=True)
        stem = f"{split}/01226z/f6e415f1"
        Image.new("RGB", (6, 4)).save(tree / f"{stem}.jpg")
        for kind, columns in (("m01226z_7dab", 2), ("ignore", 4)):
            mask = np.zeros((4, 6), np.uint8)
            mask[:, :columns] = 255
            Image.fromarray(mask).save(tree / f"{stem}_{kind}.png")
        lines = {
            "image_ids": f"{stem}.jpg",
            "class_labels": f"{stem}.jpg,0",
            "image_sizes": "",
            "localization": f"{stem}.jpg,{stem}_m01226z_7dab.png,{stem}_ignore.png",
        }
        for name, line in lines.items():
            (tree / f"metadata/{split}/{name}.txt").write_text(line)
    (tree / "metadata/train/localization.txt").write_text("")
    return tree


def test_train_has_labels_alone(tree):
    dataset = load_spec("openimages30k_train")
    assert dataset.records == [
        {
            "file_name": str(tree / "train/01226z/f6e415f1.jpg"),
            "relative_name": "train/01226z/f6e415f1.jpg",
            "image_id": "train/01226z/f6e415f1.jpg",
            "height": None,
            "width": None,
            "image_label": 0,
        }
    ]


@pytest.mark.parametrize("split", ["val", "test"])
def test_masks(tree, split):
    (record,) = load_spec(f"openimages30k_{split}").records
    assert (record["height"], record["width"]) == (4, 6)
    found = [(a["iscrowd"], a["bbox"], a["area"]) for a in record["annotations"]]
    assert found == [(0, [0, 0, 2, 4], 8), (1, [2, 0, 4, 4], 8)]
