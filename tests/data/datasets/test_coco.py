"""COCO files, valid and damaged."""

import json
import logging
import re

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data.datasets.coco import load_coco
from boxrefine_d2.errors import UserError


def small_coco():
    """Return a document with two images in descending order, three boxes and categories 7 and 3."""
    return {
        "images": [
            {"id": 20, "file_name": "sub/b.png", "height": 30, "width": 40},
            {"id": 10, "file_name": "a.png", "height": 20, "width": 10},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 10,
                "category_id": 7,
                "bbox": [1, 2, 3.5, 4],
                "iscrowd": 0,
                "phrase": "a red bird",
            },
            {
                "id": 2,
                "image_id": 10,
                "category_id": 3,
                "bbox": [0, 0, 10, 20],
                "iscrowd": 1,
                "score": 0.5,
            },
            {"id": 3, "image_id": 20, "category_id": 3, "bbox": [5, 5, 5, 5]},
        ],
        "categories": [{"id": 7, "name": "bird"}, {"id": 3, "name": "fish"}],
    }


def write_coco(folder, document=None):
    (folder / "images").mkdir(exist_ok=True)
    path = folder / "labels.json"
    path.write_text(json.dumps(small_coco() if document is None else document))
    return path, folder / "images"


def test_records(tmp_path):
    path, images = write_coco(tmp_path)
    dataset = load_coco(path, images)
    assert dataset.category_names == ["fish", "bird"]
    assert dataset.category_ids == [3, 7]
    assert dataset.labelled and not dataset.corloc_rounds_boxes
    first, second = dataset.records
    assert (first["image_id"], first["height"], first["width"]) == (10, 20, 10)
    assert first["file_name"] == str(images / "a.png") and first["relative_name"] == "a.png"
    assert second["relative_name"] == "sub/b.png"
    assert first["annotations"] == [
        {
            "bbox": [1.0, 2.0, 4.5, 6.0],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 1,
            "iscrowd": 0,
            "annotation_id": 1,
            "phrase": "a red bird",
        },
        {
            "bbox": [0.0, 0.0, 10.0, 20.0],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 1,
            "annotation_id": 2,
            "score": 0.5,
        },
    ]
    assert all(isinstance(number, float) for number in first["annotations"][0]["bbox"])


def test_image_without_annotation_has_an_empty_list(tmp_path):
    document = small_coco()
    document["annotations"].pop()
    assert load_coco(*write_coco(tmp_path, document)).records[1]["annotations"] == []


def test_file_without_annotations_is_unlabelled(tmp_path):
    document = {"images": small_coco()["images"]}
    dataset = load_coco(*write_coco(tmp_path, document))
    assert not dataset.labelled and dataset.category_names == []
    assert all("annotations" not in record for record in dataset.records)


def test_string_ids_are_kept(tmp_path):
    document = {"images": [{"id": "000005", "file_name": "5.jpg", "height": 1, "width": 1}]}
    assert load_coco(*write_coco(tmp_path, document)).records[0]["image_id"] == "000005"


def test_missing_size_is_read_from_the_header(tmp_path):
    document = {
        "images": [
            {"id": 1, "file_name": "a.png"},
            {"id": 2, "file_name": "gone.png", "height": 0, "width": 0},
        ]
    }
    path, images = write_coco(tmp_path, document)
    Image.new("RGB", (7, 5)).save(images / "a.png")
    records = load_coco(path, images).records
    assert [(record["height"], record["width"]) for record in records] == [(5, 7), (None, None)]


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((None, 0), "has no width and height"),
        ((20_000, 10_000), "has the width 10000 and the height 20000.*of at most 178956970 pixels"),
        (("5", 7), "has the width 7 and the height '5'; they must be whole numbers of pixels"),
    ],
)
def test_the_log_gives_the_reason_for_a_size_read_from_the_header(tmp_path, caplog, size, reason):
    image = {"id": 1, "file_name": "x.png", "height": size[0], "width": size[1]}
    path, images = write_coco(tmp_path, {"images": [image]})
    Image.new("RGB", (7, 5)).save(images / "x.png")
    with caplog.at_level(logging.INFO):
        [record] = load_coco(path, images).records
    assert (record["height"], record["width"]) == (5, 7)
    [line] = [x for x in caplog.messages if "read from the images" in x]
    assert re.search(f"sizes of 1 images are read from the images; the first, 1, {reason}", line)


def test_segmentations(tmp_path):
    mask = np.zeros((20, 10), np.uint8, order="F")
    mask[3:9, 2:5] = 1
    compressed = mask_codec.encode(mask)
    compressed["counts"] = compressed["counts"].decode("ascii")
    flat = mask.flatten(order="F")
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    counts = np.diff(np.concatenate([[0], changes])).tolist()
    document = small_coco()
    polygon = [0, 0, 5, 0, 5, 5]
    segmentations = [
        {"size": [20, 10], "counts": compressed["counts"]},
        {"size": [20, 10], "counts": counts},
        [polygon, [1, 1, 2, 2]],
        [[1, 1, 2, 2]],
        {"size": [20, 10], "counts": [1, 2, 3]},
        [],
    ]
    box = {"image_id": 10, "category_id": 3, "bbox": [2, 3, 3, 6]}
    document["annotations"] = [
        {"id": i, "segmentation": s, **box} for i, s in enumerate(segmentations)
    ]
    first, second, third, *rest = load_coco(*write_coco(tmp_path, document)).records[0][
        "annotations"
    ]
    for annotation in (first, second):
        np.testing.assert_array_equal(mask_codec.decode(annotation["segmentation"]), mask)
    assert third["segmentation"] == [polygon]
    assert all("segmentation" not in annotation for annotation in rest)


def test_odd_content_is_counted_in_warnings(tmp_path, caplog):
    document = small_coco()
    document["annotations"][0]["bbox"] = [1, 2, 0, 4]
    document["annotations"][1]["bbox"] = [1, 2, 3, -4]
    document["annotations"][2]["id"] = 1
    document["annotations"][2]["segmentation"] = [[1, 2]]
    with caplog.at_level(logging.WARNING):
        dataset = load_coco(*write_coco(tmp_path, document))
    assert "2 boxes have no area" in caplog.text
    assert "1 annotation ids occur more than once" in caplog.text
    assert "1 segmentations are unusable" in caplog.text
    assert [len(record["annotations"]) for record in dataset.records] == [2, 1]


def masked_document(size):
    """Return a document with an image of 10 x 20 pixels (width x height) and an RLE mask of `size`.

    A square image with a mask and an image without masks follow.
    """
    mask = mask_codec.encode(np.ones(size, np.uint8, order="F"))
    square = mask_codec.encode(np.ones((6, 6), np.uint8, order="F"))
    rles = [
        {"size": list(m["size"]), "counts": m["counts"].decode("ascii")} for m in (mask, square)
    ]
    boxes = [{"category_id": 1, "bbox": [0, 0, m["size"][1], m["size"][0]]} for m in (mask, square)]
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 10, "height": 20},
            {"id": 2, "file_name": "b.png", "width": 6, "height": 6},
            {"id": 3, "file_name": "c.png", "width": 30, "height": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "segmentation": rles[0], **boxes[0]},
            {"id": 2, "image_id": 2, "segmentation": rles[1], **boxes[1]},
        ],
        "categories": [{"id": 1, "name": "fg"}],
    }


def sizes(dataset):
    """Return (height, width) of each image."""
    return [(record["height"], record["width"]) for record in dataset.records]


def test_exchanged_width_and_height_of_maskcut_files_are_corrected(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_coco(*write_coco(tmp_path, masked_document((10, 20))))
    assert sizes(dataset) == [(10, 20), (6, 6), (30, 40)]
    assert "3 images have width and height exchanged" in caplog.text


def test_exchanged_sides_of_masks_are_corrected(tmp_path, caplog):
    """The size of the image is right. Its mask was encoded as (20, 10) and stored as (10, 20)."""
    document = masked_document((20, 10))
    document["annotations"][0]["segmentation"]["size"] = [10, 20]
    with caplog.at_level(logging.WARNING):
        dataset = load_coco(*write_coco(tmp_path, document))
    assert sizes(dataset) == [(20, 10), (6, 6), (40, 30)]
    assert dataset.records[0]["annotations"][0]["segmentation"]["size"] == [20, 10]
    assert "1 masks have height and width exchanged" in caplog.text


def test_exchanged_sizes_are_refused_if_the_boxes_fit_neither(tmp_path):
    document = masked_document((10, 20))
    document["annotations"][0]["bbox"] = [3, 3, 2, 2]
    with pytest.raises(UserError, match="the boxes fit neither"):
        load_coco(*write_coco(tmp_path, document))


def test_exchanged_sizes_are_refused_if_no_mask_can_be_decoded(tmp_path):
    document = masked_document((10, 20))
    for annotation in document["annotations"]:
        annotation["segmentation"]["counts"] = "!"
    with pytest.raises(UserError, match="none of them can be decoded"):
        load_coco(*write_coco(tmp_path, document))


def test_other_sizes_of_masks_change_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        for size in ((20, 10), (10, 19)):
            dataset = load_coco(*write_coco(tmp_path, masked_document(size)))
            assert sizes(dataset) == [(20, 10), (6, 6), (40, 30)]
    assert "exchanged" not in caplog.text


def _changed(change):
    document = small_coco()
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "is a JSON list"),
        (3, "not an object"),
        ({"info": {}, "annotations": []}, "no 'images'; it has 'info', 'annotations'"),
        ({"images": []}, "lists no image"),
        ({"images": {}}, "'images' must be a list of objects"),
        (_changed(lambda d: d.update(annotations=[3])), "'annotations' must be a list of objects"),
        (_changed(lambda d: d.pop("categories")), "no 'categories'"),
        (_changed(lambda d: d["categories"][0].update(id="x")), "category has the id 'x'"),
        (_changed(lambda d: d["categories"][0].update(id=3)), "two categories have the id 3"),
        (_changed(lambda d: d["images"][0].update(id=10)), "two images have the id 10"),
        (_changed(lambda d: d["images"][0].update(id=[1])), r"an image has the id \[1\]"),
        (_changed(lambda d: d["images"][0].pop("file_name")), "image 20 has no 'file_name'"),
        (
            _changed(lambda d: d["annotations"][2].update(image_id=99)),
            "annotation 3 has image_id 99.*first of 2: 20",
        ),
        (
            _changed(lambda d: d["annotations"][2].update(image_id="20")),
            "annotation 3 has image_id '20'",
        ),
        (_changed(lambda d: d["annotations"][2].pop("image_id")), "annotation 3 has image_id None"),
        (
            _changed(lambda d: d["annotations"][2].update(category_id=4)),
            r"category_id 4.*there are: 3, 7",
        ),
        (_changed(lambda d: d["annotations"][2].pop("bbox")), "annotation 3 has the bbox None"),
        (_changed(lambda d: d["annotations"][2].update(bbox=[1, 2, 3])), "four finite numbers"),
        (
            _changed(lambda d: d["annotations"][2].update(bbox=[1, 2, 3, "4"])),
            "four finite numbers",
        ),
        (
            _changed(lambda d: d["annotations"][2].update(bbox=[1, 2, 3, float("nan")])),
            "four finite numbers",
        ),
    ],
)
def test_a_damaged_file_gives_a_one_line_error(tmp_path, document, message):
    path, images = write_coco(tmp_path, document)
    with pytest.raises(UserError, match=message) as caught:
        load_coco(path, images)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_missing_or_foreign_file(tmp_path):
    path, images = write_coco(tmp_path)
    with pytest.raises(UserError, match="'.*nowhere.json' does not exist"):
        load_coco(tmp_path / "nowhere.json", images)
    with pytest.raises(UserError, match="image folder '.*nowhere' .* does not exist"):
        load_coco(path, tmp_path / "nowhere")
    path.write_text('{"images": [')
    with pytest.raises(UserError, match="is not JSON"):
        load_coco(path, images)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no UTF-8 text"):
        load_coco(path, images)
    with pytest.raises(UserError, match="COCO file .* is a folder"):
        load_coco(images, images)


def test_captions_of_images_are_kept(tmp_path, caplog):
    document = small_coco()
    document["images"][0]["captions"] = ["a fish", "water"]
    document["images"][1]["captions"] = "a bird"
    with caplog.at_level(logging.WARNING):
        first, second = load_coco(*write_coco(tmp_path, document)).records
    assert second["captions"] == ["a fish", "water"]
    assert "captions" not in first
    assert "captions of 1 images are no lists of texts" in caplog.text
