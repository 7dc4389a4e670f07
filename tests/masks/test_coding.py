"""The one form of a written mask: COCO's compressed RLE, column by column, with text counts."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_codec

import boxrefine_d2
from boxrefine_d2.masks.coding import decode_mask, encode_masks

PACKAGE = Path(boxrefine_d2.__file__).parent


def test_counts_go_down_the_columns_as_in_coco():
    """COCO's format runs column by column, background first, and COCO's code reads no other order.

    The mask of 2 x 3 pixels has (0, 1) and (1, 1) set: two pixels of background, two of the object,
    two of background.
    """
    mask = np.array([[0, 1, 0], [0, 1, 0]], dtype=bool)
    [rle] = encode_masks(mask[None])
    assert rle == {"size": [2, 3], "counts": "222"}
    plain = mask_codec.frPyObjects({"size": [2, 3], "counts": [2, 2, 2]}, 2, 3)
    assert plain["counts"].decode() == rle["counts"]


def test_a_mask_survives_json():
    """COCO's own code makes counts as bytes, which JSON cannot hold; it reads text and bytes."""
    masks = np.random.default_rng(0).random((5, 17, 23)) < 0.3
    read = json.loads(json.dumps(encode_masks(masks)))
    for rle, mask in zip(read, masks, strict=True):
        np.testing.assert_array_equal(decode_mask(rle, (17, 23)), mask)
        np.testing.assert_array_equal(mask_codec.decode(rle), mask)


def test_no_masks_give_no_rle():
    assert encode_masks(np.zeros((0, 4, 5), dtype=bool)) == []


def test_a_mask_of_another_size_is_refused():
    [rle] = encode_masks(np.ones((1, 4, 5), dtype=bool))
    with pytest.raises(ValueError, match="a segmentation is 5 x 4 pixels, the image 4 x 5"):
        decode_mask(rle, (5, 4))


def test_no_other_file_of_the_package_encodes_or_decodes_masks():
    """A second encoder, for example one with counts as bytes, would write different files."""
    homes = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("mask_codec", "encode"), ("mask_codec", "decode")}
    }
    assert homes == {"masks/coding.py"}
    imports = {
        (path.relative_to(PACKAGE).as_posix(), alias.asname)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "pycocotools"
        for alias in node.names
    }
    assert {name for _, name in imports} == {"mask_codec"}  # otherwise the first part misses uses
