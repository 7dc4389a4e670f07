import json
import logging

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.export import LabelledBox, LabelledImage, export_labels, mask_of


def test_pixels_are_the_numbers_of_the_instances(mask_file, tmp_path):
    summary = export_labels(mask_file, "masks", tmp_path / "out")
    assert (summary.files, summary.images_without_boxes) == (3, 2)
    with Image.open(tmp_path / "out/masks/a.png") as image:
        assert image.mode == "L"
        numbers = np.array(image)
    low, high = (
        mask_codec.decode(entry["segmentation"]).astype(bool)
        for entry in read_pseudo_labels(mask_file).annotations
    )
    np.testing.assert_array_equal(numbers == 1, high)  # the higher score is number 1 and on top
    np.testing.assert_array_equal(numbers == 2, low & ~high)
    assert numbers.shape == (30, 40) and set(np.unique(numbers)) == {0, 1, 2}


def test_an_image_without_boxes_is_black(mask_file, tmp_path):
    export_labels(mask_file, "masks", tmp_path / "out")
    empty = np.array(Image.open(tmp_path / "out/masks/dogs/old ones/a.png"))
    assert empty.shape == (10, 20) and not empty.any()


def test_sixteen_bits_for_more_than_255_instances(label_file, tmp_path):
    """The 300 instances have one pixel each, in the order of their scores."""
    annotations = []
    for i in range(300):
        mask = np.zeros((30, 40), np.uint8, order="F")
        mask[i // 40, i % 40] = 1
        entry = {"image_id": 1, "score": 1 - i / 1000, "bbox": [i % 40, i // 40, 1, 1]}
        annotations.append({**entry, "segmentation": mask_codec.encode(mask)})
    export_labels(label_file(annotations=annotations), "masks", tmp_path / "out")
    numbers = np.array(Image.open(tmp_path / "out/masks/a.png"))
    assert numbers.dtype == np.uint16
    np.testing.assert_array_equal(numbers.ravel()[:300], np.arange(1, 301))
    assert not numbers.ravel()[300:].any()


def test_an_instance_without_a_pixel_of_its_own_is_reported(label_file, tmp_path, caplog):
    mask = mask_codec.encode(np.ones((30, 40), np.uint8, order="F"))
    same = [
        {"image_id": 1, "score": s, "bbox": [0, 0, 40, 30], "segmentation": mask} for s in (1, 0.5)
    ]
    with caplog.at_level(logging.WARNING):
        export_labels(label_file(annotations=same), "masks", tmp_path / "out")
    assert "1 instances lie under others" in caplog.text


def test_boxes_without_masks(label_file, tmp_path):
    with pytest.raises(UserError, match=r"labels\.json: 3 of the 3 boxes have no 'segmentation'"):
        export_labels(label_file(), "masks", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def image_with(segmentation):
    box = LabelledBox((0, 0, 1, 1), 1.0, segmentation, 1.0)
    return box, LabelledImage(1, "a.jpg", 6, 4, [box])


def test_other_ways_to_write_a_mask():
    """The mask fills columns and rows 1 and 2 of a 6 x 4 image; counts run down the columns."""
    wanted = np.zeros((4, 6), bool)
    wanted[1:3, 1:3] = True
    for segmentation in (
        {"size": [4, 6], "counts": [5, 2, 2, 2, 13]},
        [[1, 1, 3, 1, 3, 3, 1, 3]],
    ):
        np.testing.assert_array_equal(mask_of(*image_with(segmentation)), wanted)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [4, 6], "counts": "zzzzzzz~~~"}, "cannot be decoded"),
        ({"counts": "1"}, "cannot be decoded"),
        ({"size": [6, 4], "counts": [24]}, "is 4 x 6 pixels, the image 6 x 4"),
    ],
)
def test_damaged_masks(segmentation, message):
    with pytest.raises(UserError, match=message):
        mask_of(*image_with(segmentation))


@pytest.mark.parametrize("side", [10**5, 10**9])
def test_a_size_that_no_image_has_takes_no_memory(mask_file, tmp_path, side):
    document = json.loads(mask_file.read_text())
    document["images"][2] |= {"width": side, "height": side}
    mask_file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"the width {side} .* at most 178956970 pixels"):
        export_labels(mask_file, "masks", tmp_path / "out")
    assert not (tmp_path / "out").exists()
