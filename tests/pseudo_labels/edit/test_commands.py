"""The edits of whole files."""

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.edit import match_labels, merge_labels, separate_labels, top_labels

CUTLER = {"min_score": 0.7, "max_iou": 0.5, "area": "mask"}
MATCHED = {"min_score": 0.7, "min_iou": 0.5}


def boxes(path):
    """Return image id -> the image's boxes in file order, also for images without boxes."""
    labels = read_pseudo_labels(path)
    boxes_of = {image["id"]: [] for image in labels.images}
    for label in labels.annotations:
        boxes_of[label["image_id"]].append([int(number) for number in label["bbox"]])
    return boxes_of


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def round_one(write, rectangle):
    """Write old labels and predictions.

    Image 1: the prediction of score 0.9 replaces the first label (IoU 1/2); the score 0.6 is too
    low to replace the second.  2: no score is high enough, so the label stays.  3: no old label. 4:
    neither labels nor predictions.  5: only the old file lists it.  6: only the new one lists it.
    """
    left, right = [0, 0, 10, 10], [10, 0, 10, 10]
    old = {
        1: [rectangle(1.0, left), rectangle(0.5, right)],
        2: [rectangle(1.0, left)],
        3: [],
        4: [],
        5: [rectangle(1.0, left)],
    }
    new = {
        1: [rectangle(0.9, [0, 0, 5, 10]), rectangle(0.6, right)],
        2: [rectangle(0.1, left)],
        3: [rectangle(0.7, [2, 2, 3, 3], filled=[2, 2, 1, 3])],
        4: [],
        6: [rectangle(0.8, left)],
    }
    return (
        write("old.json", old, {"method": "maskcut", "edits": [{"edit": "earlier"}]}),
        write("new.json", new, {"method": "detector"}),
    )


def test_a_round_of_self_training(round_one, tmp_path):
    old, new = round_one
    summary = merge_labels(old, new, tmp_path / "out.json", **CUTLER)
    left, right = [0, 0, 10, 10], [10, 0, 10, 10]
    assert boxes(tmp_path / "out.json") == {
        1: [[0, 0, 5, 10], right],
        2: [left],
        3: [[2, 2, 3, 3]],
        4: [],
        5: [left],
        6: [left],
    }
    assert str(summary) == (
        "6 images, 3 touched, 1 without labels: 3 labels kept, 1 dropped, 3 added; "
        "2 predictions below 0.7 left out; "
        f"1 images only in {str(old)!r}; 1 images only in {str(new)!r}; compared by masks"
    )
    labels = read_pseudo_labels(tmp_path / "out.json").annotations
    assert [label["id"] for label in labels] == [1, 2, 3, 4, 5, 6]
    assert [label["score"] for label in labels] == [0.9, 0.5, 1.0, 0.7, 1.0, 0.8]
    assert [label["area"] for label in labels] == [50, 100, 100, 3, 100, 100]


def test_the_area_can_be_that_of_the_box(round_one, tmp_path):
    merge_labels(*round_one, tmp_path / "out.json", **CUTLER | {"area": "box"})
    labels = read_pseudo_labels(tmp_path / "out.json").annotations
    assert [label["area"] for label in labels] == [50, 100, 100, 9, 100, 100]


def test_the_file_records_its_inputs_and_parameters(round_one, tmp_path):
    old, new = round_one
    merge_labels(old, new, tmp_path / "out.json", **CUTLER)
    info = read_pseudo_labels(tmp_path / "out.json").info
    assert info["method"] == "maskcut"
    earlier, step = info["edits"]
    assert earlier == {"edit": "earlier"}
    assert step["edit"] == "merge"
    assert step["parameters"] == CUTLER | {"by": "mask"}
    assert step["inputs"] == {
        "old": {"file": "old.json", "sha256": sha256(old)},
        "new": {"file": "new.json", "sha256": sha256(new), "info": {"method": "detector"}},
    }
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()


def test_equal_inputs_give_equal_bytes_whatever_their_layout(round_one, tmp_path):
    old, new = round_one
    merge_labels(old, new, tmp_path / "one.json", **CUTLER)
    before = (tmp_path / "one.json").read_text()
    merge_labels(old, new, tmp_path / "two.json", **CUTLER)
    assert (tmp_path / "two.json").read_text() == before
    digests = sha256(old), sha256(new)
    for path in round_one:
        document = json.loads(path.read_text())
        document["images"].reverse()
        path.write_text(json.dumps(document, indent=2))
    merge_labels(old, new, tmp_path / "three.json", **CUTLER)
    after = (tmp_path / "three.json").read_text()
    for path, digest in zip(round_one, digests, strict=True):
        after = after.replace(sha256(path), digest)
    assert after == before


def test_the_output_may_take_the_place_of_an_input(round_one, tmp_path):
    old, new = round_one
    merge_labels(old, new, tmp_path / "out.json", **CUTLER)
    merge_labels(old, new, old, **CUTLER)
    assert old.read_bytes() == (tmp_path / "out.json").read_bytes()


def test_files_without_masks_are_compared_by_boxes(write, tmp_path):
    old = write("old.json", {1: [{"score": 1, "bbox": [0, 0, 10, 10]}]})
    new = write("new.json", {1: [{"score": 1, "bbox": [0, 0, 5, 10]}]})
    summary = merge_labels(old, new, tmp_path / "out.json", **CUTLER)
    assert boxes(tmp_path / "out.json") == {1: [[0, 0, 5, 10]]}
    assert summary.notes == (
        f"compared by boxes, since 1 of the 1 labels of {str(old)!r} have no mask and "
        f"1 of the 1 labels of {str(new)!r} have no mask",
    )
    asked = merge_labels(old, new, tmp_path / "out.json", by="box", **CUTLER)
    assert asked.notes == ("compared by boxes",)
    with pytest.raises(UserError, match="have no mask; compare boxes: --by box"):
        merge_labels(old, new, tmp_path / "out.json", by="mask", **CUTLER)


def test_polygons_are_masks(write, tmp_path):
    """The polygons are the two halves of one box."""
    old = {"score": 1, "bbox": [0, 0, 10, 10], "segmentation": [[0, 0, 5, 0, 5, 10, 0, 10]]}
    new = {"score": 1, "bbox": [0, 0, 10, 10], "segmentation": [[5, 0, 10, 0, 10, 10, 5, 10]]}
    files = write("old.json", {1: [old]}), write("new.json", {1: [new]})
    summary = merge_labels(*files, tmp_path / "out.json", **CUTLER)
    assert (summary.kept, summary.dropped, summary.added) == (1, 0, 1)
    labels = read_pseudo_labels(tmp_path / "out.json").annotations
    assert [label["area"] for label in labels] == [50, 50]
    assert labels[0]["segmentation"] == new["segmentation"]


def test_separating_keeps_the_images(write, tmp_path):
    apart = [{"score": 1, "bbox": [0, 0, 5, 5]}, {"score": 1, "bbox": [5, 0, 5, 5]}]
    over = {"score": 1, "bbox": [4, 4, 5, 5]}
    path = write("in.json", {1: apart, 2: [*apart, over], 3: [over], 4: []}, {"method": "maskcut"})
    summary = separate_labels(path, tmp_path / "out.json", drop="images")
    assert boxes(tmp_path / "out.json") == {
        1: [[0, 0, 5, 5], [5, 0, 5, 5]],
        2: [],
        3: [over["bbox"]],
        4: [],
    }
    assert str(summary) == (
        "4 images, 1 touched, 2 without labels: 3 labels kept, 3 dropped, 0 added; "
        "images without labels stay in the list"
    )
    [step] = read_pseudo_labels(tmp_path / "out.json").info["edits"]
    assert step["edit"] == "separate" and step["parameters"] == {"drop": "images"}
    assert step["inputs"] == {"input": {"file": "in.json", "sha256": sha256(path)}}
    labels = [{"score": 1, "bbox": [15, 5, 5, 5]}, *apart, over]
    path = write("in.json", {1: labels})
    separate_labels(path, tmp_path / "out.json", drop="instances")
    assert boxes(tmp_path / "out.json") == {1: [[15, 5, 5, 5]]}


def test_matching_keeps_labels_that_a_prediction_confirms(write, rectangle, tmp_path):
    """Image 2 has no prediction. Only the labels list image 3, only the predictions image 4."""
    left, right = rectangle(1.0, [0, 0, 10, 10]), rectangle(0.5, [10, 0, 10, 10])
    path = write("in.json", {1: [left, right], 2: [left], 3: [left]})
    predictions = write("pred.json", {1: [rectangle(0.8, [10, 0, 5, 10])], 2: [], 4: [left]})
    summary = match_labels(path, predictions, tmp_path / "out.json", **MATCHED)
    assert boxes(tmp_path / "out.json") == {1: [[10, 0, 10, 10]], 2: [], 3: []}
    assert str(summary) == (
        "3 images, 3 touched, 2 without labels: 1 labels kept, 3 dropped, 0 added; "
        f"1 images only in {str(path)!r}; 1 images only in {str(predictions)!r}; compared by masks"
    )
    [step] = read_pseudo_labels(tmp_path / "out.json").info["edits"]
    assert step["edit"] == "matching" and step["parameters"] == MATCHED | {"by": "mask"}
    assert step["inputs"]["predictions"]["sha256"] == sha256(predictions)


def test_the_top_label_of_each_image(write, tmp_path):
    labels = [{"score": score, "bbox": [i, 0, 1, 1]} for i, score in enumerate([0.2, 0.9, 0.5])]
    path = write("in.json", {1: labels, 2: labels[:1], 3: []})
    top_labels(path, tmp_path / "out.json", count=1)
    assert boxes(tmp_path / "out.json") == {1: [[1, 0, 1, 1]], 2: [[0, 0, 1, 1]], 3: []}
    summary = top_labels(path, tmp_path / "out.json", count=2, min_score=0.5)
    assert boxes(tmp_path / "out.json") == {1: [[1, 0, 1, 1], [2, 0, 1, 1]], 2: [], 3: []}
    assert (summary.kept, summary.dropped, summary.touched, summary.empty) == (2, 2, 2, 2)


def test_a_dataset_spec_reads_the_written_file(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "ab":
        Image.new("RGB", (20, 10)).save(folder / f"{name}.png")
    images = [
        {"id": r["image_id"], "file_name": f"{name}.png", "width": 20, "height": 10}
        for r, name in zip(load_spec(f"folder:{folder}").records, "ab", strict=True)
    ]
    ids = [image["id"] for image in images]
    label = {"image_id": ids[0], "score": 0.5, "bbox": [0, 0, 5, 5]}
    overlapping = [label | {"image_id": ids[1]}, label | {"image_id": ids[1], "bbox": [1, 1, 2, 2]}]
    source = tmp_path / "in.json"
    write_pseudo_labels(source, images=images, annotations=[label, *overlapping], info={})
    separate_labels(source, tmp_path / "out.json", drop="images")
    records = load_spec(f"folder:{folder}+pseudo={tmp_path / 'out.json'}").records
    assert [len(record["annotations"]) for record in records] == [1, 0]


def test_files_about_different_images(write, tmp_path):
    label = {"score": 1, "bbox": [0, 0, 5, 5]}
    one, other = write("a.json", {i: [label] for i in range(1, 6)}), write("b.json", {"7": [label]})
    for edit, choice in ((merge_labels, CUTLER), (match_labels, MATCHED)):
        with pytest.raises(UserError, match=r"ids 1, 2, 3, ... in the one, '7' in the other; make"):
            edit(one, other, tmp_path / "out.json", **choice)
    renamed = write("b.json", {1: [label]}, suffix="png")
    with pytest.raises(UserError, match=r"have other names .* id 1: '1.png' there, '1.jpg' here"):
        merge_labels(one, renamed, tmp_path / "out.json", **CUTLER)
    smaller = write("b.json", {1: [label]}, size=(5, 10))
    with pytest.raises(UserError, match="image 1 is 20 x 10 pixels in .* and 10 x 5 pixels in"):
        merge_labels(one, smaller, tmp_path / "out.json", **CUTLER)
    assert not (tmp_path / "out.json").exists()
    for size in ((None, None), (0, 0), (0, 20)):
        merge_labels(one, write("b.json", {1: [label]}, size=size), tmp_path / "out.json", **CUTLER)


def test_masks_that_cannot_be_compared(write, rectangle, tmp_path):
    good = rectangle(1.0, [0, 0, 5, 5])
    old = write("old.json", {1: [good]})
    code = good["segmentation"]
    tall = mask_codec.encode(np.zeros((20, 10), np.uint8, order="F"))
    for segmentation, message in (
        ({**code, "counts": code["counts"][:2]}, "do not fill the mask"),
        (tall, "is 10 x 20 pixels, the image 20 x 10"),
        ({"size": [10, 20], "counts": [3, 4]}, "do not fill the mask"),
        ({"size": [10, 20]}, "cannot be decoded"),
        ([[1, 2]], "cannot be decoded"),
    ):
        new = write("new.json", {1: [good | {"segmentation": segmentation, "area": 25}]})
        with pytest.raises(UserError, match=f"image '1.jpg' has a mask that .*{message}"):
            merge_labels(old, new, tmp_path / "out.json", **CUTLER)
        merge_labels(old, new, tmp_path / "out.json", **CUTLER | {"area": "box"}, by="box")
    flat = {"score": 1, "bbox": [0, 0, 5, 5], "segmentation": {"size": [0, 5], "counts": "00"}}
    flat = write("flat.json", {1: [flat | {"area": 0}]}, size=(0, 5))
    with pytest.raises(UserError, match="the image has width 5 and height 0"):
        merge_labels(flat, flat, tmp_path / "out.json", **CUTLER)


def test_an_edit_that_leaves_no_label_is_refused(write, rectangle, tmp_path):
    label = rectangle(0.5, [0, 0, 5, 5])
    empty, full = write("empty.json", {1: []}), write("full.json", {1: [label, label]})
    out = tmp_path / "out.json"
    with pytest.raises(UserError, match="of 0.7 or more: lower --min-score"):
        merge_labels(empty, full, out, **CUTLER)
    with pytest.raises(UserError, match="no label is left .*: --drop instances"):
        separate_labels(full, out, drop="images")
    with pytest.raises(UserError, match="top --count 1"):
        separate_labels(full, out, drop="instances")
    with pytest.raises(UserError, match="lower --min-iou or --min-score"):
        match_labels(full, write("other.json", {1: [label]}), out, **MATCHED)
    with pytest.raises(UserError, match="lower --min-score"):
        top_labels(full, out, count=1, min_score=0.6)
    assert not out.exists()
    assert merge_labels(full, empty, out, **CUTLER).kept == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_iou": 0.0}, "the IoU is 0.0; give a number above 0 and at most 1"),
        ({"max_iou": 1.5}, "the IoU is 1.5"),
        ({"max_iou": float("nan")}, "the IoU is nan"),
        ({"min_score": float("inf")}, "the lowest score is inf"),
        ({"area": "polygon"}, "area 'polygon' is unknown; known: mask, box"),
        ({"by": "label"}, "compared by 'label'; known: mask, box"),
    ],
)
def test_impossible_choices(round_one, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        merge_labels(*round_one, tmp_path / "out.json", **CUTLER | change)


def test_memory_does_not_grow_with_the_files(write, tmp_path):
    """If the files were read whole, each of the 900 further images would take some 2 KB."""
    label = {"score": 0.8, "bbox": [0.123456789, 0.123456789, 5.123456789, 5.123456789]}

    def peak_of(images):
        labels = dict.fromkeys(range(1000, 1000 + images), [label] * 3)
        files = write("old.json", labels), write("new.json", labels)
        tracemalloc.start()
        try:
            merge_labels(*files, tmp_path / "out.json", **CUTLER)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(1)  # loads the modules that are loaded only once
    assert peak_of(1000) < peak_of(100) + 100_000


@pytest.mark.parametrize("place", ["info", "images"])
def test_numbers_that_json_cannot_hold_are_refused(write, tmp_path, place):
    source = write("a.json", {1: [{"score": 1, "bbox": [0, 0, 5, 5]}]})
    document = json.loads(source.read_text())
    (document["info"] if place == "info" else document["images"][0])["odd"] = float("nan")
    source.write_text(json.dumps(document))
    with pytest.raises(UserError, match="a.json' holds what no JSON file can hold, such as NaN"):
        top_labels(source, tmp_path / "out.json", count=1)
    assert not (tmp_path / "out.json").exists()
