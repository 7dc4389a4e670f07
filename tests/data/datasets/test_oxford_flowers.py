"""Oxford 102 Flowers, sound and damaged."""

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from scipy.io import savemat

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.datasets.oxford_flowers import flower_mask
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import decode_mask

BACKGROUND = (0, 0, 254)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write four images of 48 x 32 pixels with a yellow flower, and their masks as JPEG."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    tree = tmp_path / "flowers102"
    for folder in ("jpg", "segmim"):
        (tree / folder).mkdir(parents=True)
    savemat(tree / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 5]], np.uint8)})
    splits = {"trnid": [[2]], "valid": [[4]], "tstid": [[3, 1]]}
    savemat(tree / "setid.mat", {key: np.array(ids, np.uint16) for key, ids in splits.items()})
    image = Image.new("RGB", (48, 32), BACKGROUND)
    image.paste((250, 220, 30), (16, 8, 32, 24))  # on the grid of JPEG's blocks
    for k in range(1, 5):
        Image.new("RGB", (48, 32)).save(tree / f"jpg/image_{k:05d}.jpg")
        image.save(tree / f"segmim/segmim_{k:05d}.jpg", quality=90, subsampling=0)
    return tree


def test_splits_and_a_record(tree):
    assert [r["image_id"] for r in load_spec("flowers_train").records] == [2]
    assert [r["image_id"] for r in load_spec("flowers_val").records] == [4]
    dataset = load_spec("flowers_test")
    assert len(dataset.category_names) == 102 and dataset.category_names[101] == "102"
    assert [(r["image_id"], r["image_label"]) for r in dataset.records] == [(3, 101), (1, 76)]
    record = dataset.records[1]
    (flower,) = record.pop("annotations")
    assert record == {
        "file_name": str(tree / "jpg/image_00001.jpg"),
        "relative_name": "jpg/image_00001.jpg",
        "image_id": 1,
        "height": 32,
        "width": 48,
        "image_label": 76,
    }
    expected = np.zeros((32, 48), bool)
    expected[8:24, 16:32] = True
    assert (decode_mask(flower.pop("segmentation"), (32, 48)) == expected).all()
    assert flower == {
        "bbox": [16.0, 8.0, 32.0, 24.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 76,
        "iscrowd": 0,
        "area": 256.0,
    }


def test_background_with_noise_and_flowers_of_many_colours():
    colours = [(0, 0, 254), (12, 30, 230), (0, 0, 0), (255, 255, 255), (90, 60, 200), (250, 0, 250)]
    pixels = np.array([colours], np.uint8)
    assert flower_mask(pixels).tolist() == [[False, False, True, True, True, True]]


def test_masks_are_optional_and_may_be_empty(tree):
    Image.new("RGB", (48, 32), BACKGROUND).save(tree / "segmim/segmim_00002.jpg")
    assert load_spec("flowers_train").records[0]["annotations"] == []
    (tree / "segmim").rename(tree / "elsewhere")
    dataset = load_spec("flowers_train")
    assert not dataset.labelled and "annotations" not in dataset.records[0]


def test_damaged_and_missing_files(tree):
    (tree / "segmim/segmim_00002.jpg").write_text("damaged")
    with pytest.raises(UserError, match="cannot read the mask '.*segmim_00002.jpg'"):
        load_spec("flowers_train")
    savemat(tree / "imagelabels.mat", {"labels": [1, 103]})
    with pytest.raises(UserError, match="imagelabels.mat' must hold whole numbers from 1 to 102"):
        load_spec("flowers_test")
    savemat(tree / "imagelabels.mat", {"labels": [1, 2]})
    with pytest.raises(UserError, match="setid.mat' must hold whole numbers from 1 to 2"):
        load_spec("flowers_test")
    savemat(tree / "setid.mat", {"tstid": np.array(["a"])})
    with pytest.raises(UserError, match="setid.mat' must hold whole numbers"):
        load_spec("flowers_test")
    (tree / "setid.mat").write_text("damaged")
    with pytest.raises(UserError, match="cannot read MATLAB file .*setid.mat"):
        load_spec("flowers_test")
    (tree / "imagelabels.mat").unlink()
    with pytest.raises(UserError, match="imagelabels.mat' does not exist"):
        load_spec("flowers_test")
