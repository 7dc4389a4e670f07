"""One way to write a mask: COCO's compressed RLE, rows within columns, with counts that JSON can hold."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_codec

import boxrefine_d2
from boxrefine_d2.masks.coding import decode_mask, encode_masks

PACKAGE = Path(boxrefine_d2.__file__).parent


def test_counts_go_down_the_columns_as_those_of_coco_do():
    """Right is column by column, background first: COCO's format says so, and its own code reads nothing else.

    Of 2 x 3 pixels with (0, 1) and (1, 1) set: two of background, two of the object, two of background.
    """
    mask = np.array([[0, 1, 0], [0, 1, 0]], dtype=bool)
    [rle] = encode_masks(mask[None])
    assert rle == {"size": [2, 3], "counts": "222"}
    plain = mask_codec.frPyObjects({"size": [2, 3], "counts": [2, 2, 2]}, 2, 3)
    assert plain["counts"].decode() == rle["counts"]


def test_json_holds_it_and_it_comes_back():
    """Right is text: COCO's own code gives bytes, which JSON cannot hold, and reads both."""
    masks = np.random.default_rng(0).random((5, 17, 23)) < 0.3
    read = json.loads(json.dumps(encode_masks(masks)))
    for rle, mask in zip(read, masks, strict=True):
        np.testing.assert_array_equal(decode_mask(rle, (17, 23)), mask)
        np.testing.assert_array_equal(mask_codec.decode(rle), mask)


def test_no_mask_is_no_rle():
    assert encode_masks(np.zeros((0, 4, 5), dtype=bool)) == []


def test_a_mask_of_another_size_is_refused():
    [rle] = encode_masks(np.ones((1, 4, 5), dtype=bool))
    with pytest.raises(ValueError, match="a segmentation is 5 x 4 pixels, the image 4 x 5"):
        decode_mask(rle, (5, 4))


def test_nothing_else_in_the_package_encodes_or_decodes_pixels():
    """A second way, such as one with counts as bytes, would write files that differ."""
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
    assert {name for _, name in imports} == {"mask_codec"}  # so that the first half sees all
