"""Labels on which files agree, and labels within limits of area, worked out by hand."""

import hashlib
import json
import re

import numpy as np
import pytest

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.edit import agree_labels, limit_areas, match_labels
from boxrefine_d2.pseudo_labels.edit.edits import agree

LEFT, RIGHT = [0, 0, 10, 10], [10, 0, 10, 10]
IMAGE = {"id": 1, "file_name": "1.jpg", "height": 10, "width": 20}


def box(xywh, score=1.0):
    return {"score": score, "bbox": xywh}


def labels_of(path):
    """Return image id -> the (box, score) pairs of the image, in file order."""
    content = read_pseudo_labels(path)
    labels = {image["id"]: [] for image in content.images}
    for label in content.annotations:
        pair = [int(x) for x in label["bbox"]], round(label["score"], 4)
        labels[label["image_id"]].append(pair)
    return labels


def iou(one, other):
    """Return the IoU of two boxes [x, y, w, h] of whole numbers, by counting pixels."""
    marks = np.zeros((2, 40, 40), bool)
    for mark, (x, y, w, h) in zip(marks, (one, other), strict=True):
        mark[y : y + h, x : x + w] = True
    return (marks[0] & marks[1]).sum() / (marks[0] | marks[1]).sum()


@pytest.mark.parametrize("votes", [1, 2, 3])
def test_agreement_equals_counting_pixels(votes):
    draw = np.random.default_rng(votes)

    def boxes(count):
        starts, sides = draw.integers(0, 20, (count, 2)), draw.integers(1, 20, (count, 2))
        return [box([*map(int, start), *map(int, side)]) for start, side in zip(starts, sides)]

    image = {"id": 1, "file_name": "1.jpg", "height": 40, "width": 40}
    kept_in_all = 0
    for _ in range(100):
        labels, others = boxes(4), [boxes(3), boxes(0 if votes < 3 else 4), boxes(5)]
        expected = []
        for label in labels:
            near = [
                max((iou(label["bbox"], x["bbox"]) for x in other), default=0) for other in others
            ]
            if sum(x >= 0.3 for x in near) >= votes:
                expected.append((label["bbox"], pytest.approx(np.mean(near))))
        kept, _ = agree(image, labels, others, min_iou=0.3, votes=votes, by="box")
        assert [x["score"] for x in kept] == sorted((x["score"] for x in kept), reverse=True)
        found = sorted((x["bbox"], x["score"]) for x in kept)
        assert found == sorted(expected, key=lambda pair: pair[0])
        kept_in_all += len(kept)
    assert kept_in_all >= 5


@pytest.fixture
def files(write):
    """Write labels of four images and two other files.

    Image 1: both others hold LEFT, one exactly and one by half; the first holds RIGHT.  2: only the
    second holds LEFT.  3: neither holds it.  4: no label.
    """
    return (
        write("a.json", {1: [box(RIGHT), box(LEFT)], 2: [box(LEFT)], 3: [box(LEFT)], 4: []}),
        write("b.json", {1: [box(LEFT), box(RIGHT, 0.2)], 2: [], 3: [box(RIGHT)], 4: []}),
        write("c.json", {1: [box([0, 0, 5, 10], 0.9)], 2: [box(LEFT, 0.1)], 3: [], 4: [box(LEFT)]}),
    )


def test_all_files_must_agree(files, tmp_path):
    source, *others = files
    summary = agree_labels(source, others, tmp_path / "out.json", min_iou=0.5)
    assert labels_of(tmp_path / "out.json") == {1: [(LEFT, 0.75)], 2: [], 3: [], 4: []}
    assert str(summary) == (
        "4 images, 3 touched, 3 without labels: 1 labels kept, 3 dropped, 0 added; "
        "kept 1 of 4 images, 1 annotations"
    )
    info = read_pseudo_labels(tmp_path / "out.json").info
    [step] = info["edits"]
    assert step["edit"] == "agree"
    assert step["parameters"] == {
        "min_iou": 0.5,
        "votes": 2,
        "by": "box",
        "min_score": None,
        "keep": "labels",
    }
    names = {role: x["file"] for role, x in step["inputs"].items()}
    assert names == {"input": "a.json", "with 1": "b.json", "with 2": "c.json"}
    digests = [x["sha256"] for x in step["inputs"].values()]
    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def test_all_labels_of_an_image_where_one_agrees(files, tmp_path):
    source, *others = files
    summary = agree_labels(source, others, tmp_path / "out.json", min_iou=0.5, keep="images")
    kept = labels_of(tmp_path / "out.json")
    assert kept == {1: [(LEFT, 0.75), (RIGHT, 0.5)], 2: [], 3: [], 4: []}
    assert "2 labels kept, 2 dropped" in str(summary)


def test_votes_and_the_lowest_score(files, tmp_path):
    source, *others = files
    out = tmp_path / "out.json"
    agree_labels(source, others, out, min_iou=0.5, votes=1)
    kept = {1: [(LEFT, 0.75), (RIGHT, 0.5)], 2: [(LEFT, 0.5)], 3: [], 4: []}
    assert labels_of(out) == kept
    agree_labels(source, others, out, min_iou=0.5, votes=1, min_score=0.5)
    assert labels_of(out) == {1: [(LEFT, 0.75)], 2: [], 3: [], 4: []}
    agree_labels(source, others, out, min_iou=0.51, votes=1)
    assert labels_of(out) == kept
    agree_labels(source, others[1:], out, min_iou=0.51)
    assert labels_of(out) == {1: [], 2: [(LEFT, 1.0)], 3: [], 4: []}


def test_a_file_is_not_compared_with_itself_and_not_counted_twice(files, tmp_path):
    """A file agrees with itself, under another name of the same file, too."""
    source, other, _ = files
    link = tmp_path / "link.json"
    link.symlink_to(other)
    for others in ([source], [other, other], [other, link]):
        with pytest.raises(UserError, match="is given twice"):
            agree_labels(source, others, tmp_path / "out.json", min_iou=0.5, votes=1)
    with pytest.raises(UserError, match="is given twice"):
        match_labels(source, source, tmp_path / "out.json", min_score=0.0, min_iou=0.5)
    assert not (tmp_path / "out.json").exists()


def test_masks_differ_where_boxes_do_not(write, rectangle, tmp_path):
    """The mask of the second file fills two fifths of the same box."""
    one = write("a.json", {1: [rectangle(1.0, LEFT)]})
    two = write("b.json", {1: [rectangle(1.0, LEFT, filled=[0, 0, 4, 10])]})
    out = tmp_path / "out.json"
    agree_labels(one, [two], out, min_iou=0.5)
    assert labels_of(out) == {1: [(LEFT, 1.0)]}
    agree_labels(one, [two], out, min_iou=0.4, by="mask")
    assert labels_of(out) == {1: [(LEFT, 0.4)]}
    with pytest.raises(UserError, match="lower --min-iou to 0.4 or less"):
        agree_labels(one, [two], out, min_iou=0.5, by="mask")
    boxes = write("c.json", {1: [box(LEFT)]})
    with pytest.raises(UserError, match="1 of the 1 labels of .*c.json.*: --by box"):
        agree_labels(one, [boxes], out, min_iou=0.5, by="mask")


def test_a_results_list_is_accepted(files, tmp_path):
    """The list has other categories, names no images and holds one image more."""
    results = [
        {"image_id": 3, "category_id": 17, "bbox": LEFT, "score": 0.5},
        {"image_id": 1, "category_id": 3, "bbox": [10, 0, 10, 8], "score": 0.9},
        {"image_id": 9, "category_id": 3, "bbox": LEFT, "score": 0.9},
    ]
    path, out = tmp_path / "results.json", tmp_path / "out.json"
    path.write_text(json.dumps(results, indent=1))
    summary = agree_labels(files[0], [path], out, min_iou=0.5)
    assert labels_of(out) == {1: [(RIGHT, 0.8)], 2: [], 3: [(LEFT, 1.0)], 4: []}
    assert summary.notes[1] == f"1 images only in {str(path)!r}"
    [step] = read_pseudo_labels(out).info["edits"]
    assert step["inputs"]["with 1"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    agree_labels(files[0], [path], out, min_iou=0.5, min_score=0.6)
    assert labels_of(out)[3] == []


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"image_id": 9, "bbox": LEFT, "score": 1}], "its first result is of image 9; make"),
        ([{"image_id": "1", "bbox": LEFT, "score": 1}], "its first result is of image '1'; make"),
        ([{"image_id": 1, "bbox": [1, 2, 3], "score": 1}], "a result of image 1 has the bbox"),
        ([{"image_id": 1, "bbox": [1, 2, 0, 3], "score": 1}], "w and h above 0"),
        ([{"bbox": LEFT}], "each item must be an object with image_id, bbox and score"),
        ([7], "each item must be an object"),
    ],
)
def test_results_that_cannot_be_used(files, tmp_path, results, message):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(UserError, match=message):
        agree_labels(files[0], [path], tmp_path / "out.json", min_iou=0.5)
    assert not (tmp_path / "out.json").exists()


def test_nothing_left_names_the_options(files, write, tmp_path):
    source, *others = files
    out = tmp_path / "out.json"
    with pytest.raises(UserError) as told:
        agree_labels(source, others, out, min_iou=0.7, min_score=0.15)
    assert str(told.value) == (
        f"no label is left of {str(source)!r}; 1 of its 4 labels come near, with an IoU of at "
        "least 0.35 in 2 of 2 files, and 2 agree with fewer files: lower --min-iou to 0.5 or less "
        "or lower --votes or lower --min-score 0.15"
    )
    far = write("far.json", {1: [box([19, 9, 1, 1])], 2: [], 3: [], 4: []})
    with pytest.raises(UserError, match=r"0 of its 4 labels come near.*: compare other files$"):
        agree_labels(source, [far], out, min_iou=0.9, votes=1)
    empty = write("empty.json", {1: [], 2: [], 3: [], 4: []})
    with pytest.raises(UserError, match="it has none"):
        agree_labels(empty, [source], out, min_iou=0.5)
    assert not out.exists()


def test_files_of_other_images_are_refused(files, write, tmp_path):
    source = files[0]
    out = tmp_path / "out.json"
    part = write("part.json", {1: [box(LEFT)], 3: []})
    message = re.escape(f"image 2 ('2.jpg') of {str(source)!r} is not in {str(part)!r}")
    with pytest.raises(UserError, match=message):
        agree_labels(source, [part], out, min_iou=0.5)
    failed = {"images_failed": [{"file_name": f"{i}.jpg", "reason": "damaged"} for i in (2, 4)]}
    part = write("part.json", {1: [box(LEFT)], 3: []}, failed)
    summary = agree_labels(source, [part], out, min_iou=0.5)
    assert summary.notes[1] == f"2 images failed in {str(part)!r} and lose their labels"
    smaller = write("smaller.json", dict.fromkeys((1, 2, 3, 4), [box(LEFT)]), size=(5, 10))
    with pytest.raises(UserError, match="image 1 is 20 x 10 pixels in .* and 10 x 5 pixels in"):
        agree_labels(source, [smaller], out, min_iou=0.5)
    other = write("other.json", dict.fromkeys((1, 2, 3, 4), []), suffix="png")
    with pytest.raises(UserError, match="have other names .* id 1"):
        agree_labels(source, [other], out, min_iou=0.5)
    with pytest.raises(UserError, match="different images"):
        agree_labels(source, [write("text.json", {"7": [box(LEFT)]})], out, min_iou=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_iou": 0.0}, "the IoU is 0.0"),
        ({"votes": 0}, "--votes is 0; give 1 to 2, the number of files of --with"),
        ({"votes": 3}, "--votes is 3"),
        ({"by": "pixels"}, "'pixels' is unknown; known: mask, box"),
        ({"min_score": float("nan")}, "the lowest score is nan"),
    ],
)
def test_impossible_choices(files, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        agree_labels(files[0], files[1:], tmp_path / "out.json", **{"min_iou": 0.5} | change)
    with pytest.raises(UserError, match="no file to agree with"):
        agree_labels(files[0], [], tmp_path / "out.json", min_iou=0.5)


def test_areas_are_those_of_masks_and_of_boxes_inside_the_image(write, rectangle, tmp_path):
    """The image has 200 pixels. Shares: 0.1 (mask in a box of 0.5), 0.25 (clipped), 1, 0.005."""
    labels = {
        1: [
            rectangle(0.9, LEFT, filled=[0, 0, 2, 10]),
            box([15, 0, 10, 10], 0.8),
            box([0, 0, 20, 10], 0.7),
            box([0, 0, 1, 1], 0.6),
        ],
        2: [box([0, 0, 20, 10])],
        3: [],
    }
    path, out = write("in.json", labels), tmp_path / "out.json"
    summary = limit_areas(path, out, min_area=0.1, max_area=0.25)
    assert labels_of(out) == {1: [(LEFT, 0.9), ([15, 0, 10, 10], 0.8)], 2: [], 3: []}
    assert str(summary) == (
        "3 images, 2 touched, 2 without labels: 2 labels kept, 3 dropped, 0 added; "
        "1 cover less than 0.1 of their image; 2 cover more than 0.25"
    )
    limit_areas(path, out, max_area=0.2)
    assert labels_of(out)[1] == [(LEFT, 0.9), ([0, 0, 1, 1], 0.6)]
    [step] = read_pseudo_labels(out).info["edits"]
    assert step["edit"] == "areas" and step["parameters"] == {"min_area": 0.0, "max_area": 0.2}


def test_areas_that_leave_nothing_or_make_no_sense(write, tmp_path):
    path, out = write("in.json", {1: [box([0, 0, 20, 10]), box([0, 0, 1, 1])]}), tmp_path / "out"
    with pytest.raises(UserError, match="1 are smaller: lower --min-area, 1 are larger: raise"):
        limit_areas(path, out, min_area=0.1, max_area=0.9)
    with pytest.raises(UserError, match="--max-area is 9.0; give a share"):
        limit_areas(path, out, max_area=9.0)
    with pytest.raises(UserError, match="--min-area 0.5 is above --max-area 0.1"):
        limit_areas(path, out, min_area=0.5, max_area=0.1)
    unknown = write("unknown.json", {1: [box([0, 0, 1, 1])]}, size=(None, None))
    with pytest.raises(UserError, match="image 1 .* has no width and height"):
        limit_areas(unknown, out, max_area=0.5)
    assert not out.exists()
