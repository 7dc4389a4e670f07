"""Checks of labels: unusable labels are refused before training; the others are counted."""

import json
import logging

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data.dataset_spec import escape_path, load_spec
from boxrefine_d2.data.loaders import TrainLoader
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.detectors.training_labels import SLACK_PIXELS, records_to_learn_from
from boxrefine_d2.errors import UserError

HEIGHT, WIDTH = 30, 40


@pytest.fixture
def folder(tmp_path):
    """Return the folder of three images of 40 x 30 pixels: ids 1, 2, 3."""
    images = tmp_path / "images"
    images.mkdir()
    for name in "abc":
        Image.new("RGB", (WIDTH, HEIGHT), "gray").save(images / f"{name}.png")
    return images


def label(box=(5, 5, 20, 20), **more):
    return {"bbox": list(box), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0} | more


def record(path, *labels, image_id=1, size=(HEIGHT, WIDTH)):
    entry = {"file_name": str(path), "image_id": image_id, "height": size[0], "width": size[1]}
    return entry | {"annotations": list(labels)}


def rle(height=HEIGHT, width=WIDTH, **changes):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[5:20, 5:20] = 1
    return mask_codec.encode(mask) | changes


def kept_records(records, *, classes=1, masks=False):
    return records_to_learn_from(records, classes=classes, masks=masks, where="SPEC")


def refused(records, message, **settings):
    with pytest.raises(UserError, match=message) as caught:
        kept_records(records, **settings)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("SPEC: ")


def pseudo_spec(folder, annotations, images=None):
    """Return the spec of the images with a pseudo-label file of these [image id, x, y, w, h]."""
    names = images or [(1, "a.png"), (2, "b.png"), (3, "c.png")]
    content = {
        "info": {},
        "images": [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in names],
        "annotations": [
            {"id": n, "image_id": i, "category_id": 1, "bbox": box, "score": 1.0}
            for n, (i, *box) in enumerate(annotations, start=1)
        ],
        "categories": [{"id": 1, "name": "object"}],
    }
    path = folder.parent / "labels.json"
    path.write_text(json.dumps(content))
    return f"folder:{escape_path(folder)}+pseudo={escape_path(path)}"


def test_images_with_a_box_are_kept_as_they_are_and_the_others_counted(folder, caplog):
    kept = record(folder / "a.png", label(), label(iscrowd=1))
    nothing = record(folder / "b.png")
    crowd = record(folder / "c.png", label(iscrowd=1))
    line = record(folder / "c.png", label((5, 5, 5, 20)))
    with caplog.at_level(logging.WARNING, logger="boxrefine_d2"):
        assert kept_records([kept, nothing, crowd, line]) == [kept]
    assert caplog.messages == ["SPEC: 3 of 4 images have no box and are left out"]


def test_nothing_is_logged_if_all_images_have_boxes(folder, caplog):
    assert len(kept_records([record(folder / "a.png", label())])) == 1
    assert not caplog.messages


def test_records_without_labels_are_refused(folder):
    bare = record(folder / "a.png", label())
    del bare["annotations"]
    message = r"1 of 2 images have no labels \(first: .*a\.png\); \+pseudo=FILE"
    refused([record(folder / "b.png", label()), bare], message)
    refused(load_spec(f"folder:{escape_path(folder)}").records, "3 of 3 images have no labels")


def test_zero_instances_are_refused(folder):
    refused([record(folder / "a.png")] * 2, r"none of the 2 images has a box .*\+pseudo=FILE")
    refused([record(folder / "a.png", label(iscrowd=1))], "none of the 1 images has a box")
    refused(load_spec(pseudo_spec(folder, [])).records, "none of the 3 images has a box")


def test_missing_images_are_refused(folder):
    records = load_spec(pseudo_spec(folder, [(1, 5, 5, 9, 9), (3, 5, 5, 9, 9)])).records
    (folder / "b.png").unlink()  # it has no labels
    assert len(kept_records(records)) == 2
    (folder / "c.png").unlink()
    refused(records, r"1 of the 2 labelled images do not exist \(first: .*c\.png\)")


def test_a_scene_is_no_file():
    assert len(kept_records(load_spec("scenes:train+first=2+agnostic").records)) == 2


@pytest.mark.parametrize(
    "box",
    [
        (-SLACK_PIXELS - 0.5, 5, 20, 20),
        (5, 5, WIDTH + SLACK_PIXELS + 0.5, 20),
        (5, 5, 20, HEIGHT + SLACK_PIXELS + 0.5),
    ],
)
def test_boxes_outside_the_image_are_refused(folder, box):
    records = [
        record(folder / "a.png", label()),
        record(folder / "b.png", label(), label(box), image_id="b"),
    ]
    message = r"1 of 3 labels lie outside their image \(first: image 'b'\); check that they were"
    refused(records, message)
    slack = label((-SLACK_PIXELS, 5, WIDTH + SLACK_PIXELS, HEIGHT + SLACK_PIXELS))
    kept_records([record(folder / "a.png", slack)])


def test_boxes_of_other_images_are_refused_by_their_size(folder):
    spec = pseudo_spec(folder, [(1, 5, 5, 20, 20), (2, 5, 5, 20, 90)])
    refused(load_spec(spec).records, "1 of 2 labels lie outside their image")


def test_boxes_of_detectron2s_loaders_are_converted(folder):
    box = label((20, 15, 18, 12), bbox_mode=BoxMode.XYWH_ABS)  # ends at 38, 27
    assert len(kept_records([record(folder / "a.png", box)])) == 1
    box = label((20, 15, 30, 12), bbox_mode=BoxMode.XYWH_ABS)
    refused([record(folder / "a.png", box)], "1 of 1 labels lie outside")


def test_more_classes_than_the_detector_has_are_refused(folder):
    records = [record(folder / "a.png", label(), label(category_id=2))]
    message = r"the labels have 3 classes and MODEL.ROI_HEADS.NUM_CLASSES is 2; add \+agnostic"
    refused(records, message, classes=2)
    assert kept_records(records, classes=3) == records
    crowd = label(category_id=7, iscrowd=1)
    assert len(kept_records([record(folder / "a.png", label(), crowd)])) == 1


def test_a_mask_detector_needs_a_mask_of_each_object(folder):
    whole = label(segmentation=rle())
    polygon = label(segmentation=[[5, 5, 20, 5, 20, 20]])
    assert len(kept_records([record(folder / "a.png", whole, polygon)], masks=True)) == 1
    message = r"1 of 2 labels have no mask, and MODEL.MASK_ON is True .*; use labels of a method"
    records = [record(folder / "a.png", whole, label())]
    refused(records, message, masks=True)
    assert kept_records(records) == records
    assert len(kept_records([record(folder / "a.png", whole, label(iscrowd=1))], masks=True)) == 1


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (rle(WIDTH, HEIGHT), "a segmentation is 30 x 40 pixels, the image 40 x 30"),
        (rle(counts=b"522"), "a segmentation cannot be decoded"),
    ],
)
def test_masks_of_another_image_are_refused_before_training(folder, mask, message):
    records = [record(folder / "a.png", label(segmentation=mask), image_id="a")]
    refused(records, f"image 'a': {message}.*check that they were made from these", masks=True)
    assert kept_records(records) == records  # without masks, only boxes are checked


def test_the_stream_replaces_and_reports_an_image_of_unknown_size(folder):
    (folder / "b.png").write_text("no image")
    spec = pseudo_spec(folder, [(i, 5, 5, 20, 90 if i == 2 else 9) for i in (1, 2, 3)])
    records = kept_records(load_spec(spec).records)
    assert [r["height"] for r in records] == [HEIGHT, None, HEIGHT]

    def mapper(entry, position):
        from boxrefine_d2.data.images import read_image

        return {"image_id": entry["image_id"], "shape": read_image(entry["file_name"]).shape}

    loader = TrainLoader(records, mapper, batch_size=3, seed=0, rank=0, ranks=1, num_workers=0)
    assert sorted(sample["image_id"] for sample in next(iter(loader))) == [1, 3, 3]
    assert list(loader.unreadable) == [str(folder / "b.png")]


def test_masks_of_an_image_of_unknown_size_are_not_checked(folder):
    (folder / "b.png").write_text("no image")
    odd = record(folder / "b.png", label(segmentation=rle(7, 9)), size=(None, None))
    fine = record(folder / "a.png", label(segmentation=rle()))
    assert len(kept_records([fine, odd], masks=True)) == 2


def test_duplicate_ids_are_refused_when_the_file_is_read(folder):
    doubled = pseudo_spec(folder, [(1, 5, 5, 9, 9)], [(1, "a.png"), (1, "b.png"), (3, "c.png")])
    with pytest.raises(UserError, match="labels.json': 1 image ids occur more than once"):
        load_spec(doubled)
    content = {"images": [{"id": 4, "file_name": f"{n}.png"} for n in "ab"]}
    (folder / "truth.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="two images have the id 4"):
        load_spec(f"coco:{escape_path(folder / 'truth.json')}:{escape_path(folder)}")
    with pytest.raises(ValueError, match="same id"):
        images = [{"id": 1, "file_name": f"{n}.png", "width": 4, "height": 3} for n in "ab"]
        write_pseudo_labels(folder / "new.json", images=images, annotations=[], info={})


def test_a_filter_that_leaves_no_image_is_refused(folder):
    apart = pseudo_spec(folder, [(1, 2, 2, 9, 9), (2, 5, 5, 9, 9)])
    with pytest.raises(UserError, match=r"\+overlapping leaves no image"):
        load_spec(f"{apart}+overlapping")
