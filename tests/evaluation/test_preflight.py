"""One mistake at a time in an otherwise correct file: each message is one line with a remedy."""

import json

import pytest
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import (
    METRICS,
    GroundTruth,
    MetricResult,
    evaluate_predictions,
    parse_metrics,
    read_predictions,
    write_json,
)

IDS = [5, 7, 9, 12]
BOX = [210.0, 160.0, 300.0, 250.0]  # inside images of 400 x 300


def ground_truth(ids=IDS, boxes=(BOX,), category_ids=(1, 2, 17)):
    records = [
        {
            "file_name": f"images/{image_id}.jpg",
            "image_id": image_id,
            "width": 400,
            "height": 300,
            "annotations": [
                {"bbox": list(box), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0}
                for box in boxes
            ],
        }
        for image_id in ids
    ]
    return GroundTruth("coco:gt.json:images", records, category_ids)


def results_list(ids=IDS, box=(210, 160, 90, 90), **fields):
    return [
        {"image_id": i, "category_id": 1, "bbox": list(box), "score": 0.5, **fields} for i in ids
    ]


def dataset_file(ids=IDS, size=(400, 300), name="{}.jpg", **fields):
    images = [
        {"id": i, "file_name": name.format(i), "width": size[0], "height": size[1]} for i in ids
    ]
    annotations = [{"id": n, **a} for n, a in enumerate(results_list(ids, **fields), start=1)]
    categories = [{"id": 1, "name": "object"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def score(tmp_path):
    def run(content, truth=None) -> MetricResult:
        path = tmp_path / "pred.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return evaluate_predictions(truth or ground_truth(), read_predictions(path), ["corloc"])

    return run


@pytest.mark.parametrize("content", [results_list(), dataset_file()])
def test_a_right_file_of_either_kind(score, content):
    result = score(content)
    assert result.values == {"corloc": 100.0}
    assert result.counts == {
        "images_evaluated": 4,
        "images_without_ground_truth": 0,
        "images_without_prediction": 0,
    }
    assert result.warnings == []


def test_the_box_of_the_highest_score_counts(score):
    wrong = results_list(box=(0, 0, 50, 50))
    assert score(results_list() + [e | {"score": 0.4} for e in wrong]).values["corloc"] == 100.0
    assert score(results_list() + [e | {"score": 0.6} for e in wrong]).values["corloc"] == 0.0
    assert score(results_list() + wrong).values["corloc"] == 100.0  # equal scores: the first


def test_categories_are_ignored(score):
    assert score(results_list(category_id=17)).values["corloc"] == 100.0
    assert score([{"image_id": 5, "bbox": [210, 160, 90, 90]}]).values["corloc"] == 25.0
    agnostic = ground_truth(category_ids=(1,))
    assert score(results_list(category_id=80), agnostic).values["corloc"] == 100.0


MISTAKES = {
    "no bytes": ("", "pred.json. is empty"),
    "cut short": ('[{"image_id": 5, "bb', "is not JSON.*cut short"),
    "empty list": ([], "holds no predictions"),
    "data set file without boxes": (dataset_file() | {"annotations": []}, "holds no predictions"),
    "other object": ({"boxes": []}, "neither a COCO data set file.*nor a COCO results list"),
    "other list": ([1, 2], "neither a COCO data set file"),
    "other id type": (
        results_list([str(i) for i in IDS]),
        "none of its 4 image ids.*has '5', '7', '9', ..., "
        "the ground truth has 5, 7, 9, ...; .*JSON type",
    ),
    "zero-filled ids": (
        results_list([f"{i:06}" for i in IDS]),
        "has '000005', .*the ground truth has 5, .*equal as numbers",
    ),
    "file names as ids": (results_list([f"{i:06}.jpg" for i in IDS]), "equal as numbers"),
    "other ids": (results_list([105, 107]), "none of its 2 image ids.*name the data set"),
    "few ids": (results_list([5, 107, 109, 112]), "only 1 of its 4 image ids"),
    "ids of no type": (results_list([[5]]), "image_id .5. is neither"),
    "no ids": ([{"bbox": [1, 2, 3, 4]}], "1 of 1 entries have no 'image_id'.*metric 'corloc'"),
    "no boxes": ([{"image_id": 5, "point": [1, 2]}], "no 'bbox', which metric 'corloc' reads"),
    "three numbers": (results_list(box=(1, 2, 3)), "bbox of image 5 is .*x, y, width, height"),
    "text": (results_list(box=("1", 2, 3, 4)), "bbox of image 5 is"),
    "null": (results_list() + [{"image_id": 5, "bbox": None}], "bbox of image 5 is None"),
    "text as score": (results_list(score="high"), "score of image 5 is .high., not a number"),
    "NaN": (results_list(box=(1, 2, float("nan"), 4)), "4 of 4 entries hold .*not finite"),
    "infinite score": (results_list(score=float("inf")), "not finite"),
    "xyxy as xywh": (
        results_list(box=BOX),
        r"4 of 4 boxes leave their image .*write bbox as \[x, y, width, height\]",
    ),
    "fractions": (results_list(box=(0.5, 0.5, 0.2, 0.2)), r"within \[0, 1\]; write pixels"),
    "another frame": (
        results_list(box=(800, 600, 300, 300)),
        "4 of 4 boxes lie outside their image .first: image 5 is 400 x 300, "
        "its box ends at 1100, 900",
    ),
    "no area": (results_list(box=(10, 10, 0, 0)), "all 4 boxes have no area"),
    "other images": (
        dataset_file(size=(640, 480)),
        "4 of 4 images have another size .*image 5 is 640 x 480, there 400 x 300",
    ),
    "unknown category": (
        results_list(category_id=99),
        r"category id 99 does not exist in coco:gt.json:images \(known: 0, 1, 2, 17\)",
    ),
    "category the file itself lacks": (
        dataset_file(category_id=2),
        r"category id 2 does not exist in its own categories \(known: 1\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(score, mistake):
    content, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as caught:
        score(content)
    assert "\n" not in str(caught.value)


def test_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(UserError, match="prediction file .*nowhere.json' does not exist"):
        read_predictions(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="is a folder; name a file"):
        read_predictions(tmp_path)
    (tmp_path / "model.pth").write_bytes(b"\x80\x02\xff\xfe")
    with pytest.raises(UserError, match="is no UTF-8 text"):
        read_predictions(tmp_path / "model.pth")


def test_corners_are_told_from_sizes_when_only_some_boxes_leave(score):
    """Only the second corner box leaves the image if read as xywh; all boxes fit as corners."""
    corners = [[10, 10, 60, 60], BOX, [20, 30, 90, 80], [5, 5, 100, 90]]
    content = [e | {"bbox": b} for e, b in zip(results_list(), corners, strict=True)]
    with pytest.raises(UserError, match="1 of 4 boxes leave"):
        score(content)


def test_large_boxes_that_overhang_a_little_are_no_mistake(score):
    """[2, 2, 400, 300] would fit as corners, but it leaves the image by 2 px only."""
    assert score(results_list(box=(2, 2, 400, 300))).counts["images_evaluated"] == 4


def test_ground_truth_in_the_wrong_convention(score):
    """Corners read as xywh leave the images; xywh read as corners is inverted."""
    x1, y1, x2, y2 = BOX
    with pytest.raises(
        UserError, match="the ground truth of coco:gt.json:images.*leave their image"
    ):
        score(results_list(), ground_truth(boxes=[[x1, y1, x1 + x2, y1 + y2]]))
    with pytest.raises(UserError, match="the ground truth of .*end before they start"):
        score(results_list(), ground_truth(boxes=[[x1, y1, x2 - x1, y2 - y1]]))


def test_a_data_set_without_labels_cannot_be_scored(score):
    truth = GroundTruth("folder:images", [{"image_id": i, "width": 9, "height": 9} for i in IDS])
    with pytest.raises(UserError, match="folder:images has no labels"):
        score(results_list(), truth)


def test_first_n_matches_a_longer_file_and_the_reverse(score):
    shorter = score(results_list(), ground_truth(ids=[5]))
    assert shorter.values["corloc"] == 100.0
    assert shorter.warnings[0].startswith("3 images of ")
    longer = score(results_list([5]), ground_truth(ids=IDS))
    assert longer.values["corloc"] == 25.0
    assert longer.counts["images_without_prediction"] == 3


def test_text_ids_match_exactly(score):
    ids = ["000005", "2008_000003"]
    assert score(results_list(ids), ground_truth(ids=ids)).values["corloc"] == 100.0


def test_odd_parts_are_counted_and_do_not_stop(score):
    odd = [{"image_id": 5, "bbox": [600, 0, 50, 50]}, {"image_id": 5, "bbox": [10, 10, 0, 5]}]
    warnings = score(results_list() + odd).warnings
    assert warnings == [
        "1 boxes lie far outside their image",
        "1 boxes have no area",
        "2 boxes have no score and count as 1; the first among equals is taken",
    ]


def test_sizes_and_names_of_a_data_set_file(score):
    content = dataset_file()
    content["images"][0]["width"] = 640
    assert score(content).warnings[0].startswith("1 of 4 images have another size")
    assert "4 of the 4 images" in score(dataset_file(name="frame_{}.png")).warnings[0]
    with pytest.raises(
        UserError, match="have other names .* id 5: '7.jpg' there, 'images/5.jpg' here"
    ):
        score({**content, "images": [{"id": 5, "file_name": "7.jpg"}]})


def test_width_and_height_exchanged(score):
    """Boxes that fit the image show MaskCut's slip; other boxes are of pixels before EXIF turn."""
    [warning] = score(dataset_file(size=(300, 400), box=(310, 160, 80, 90))).warnings
    assert "4 of 4 images have width and height exchanged" in warning
    assert "boxes fit the ground truth's alone" in warning
    [warning] = score(dataset_file(size=(300, 400))).warnings
    assert "boxes fit both ways" in warning
    with pytest.raises(UserError, match="of the pixels as stored, before EXIF orientation"):
        score(dataset_file(size=(300, 400), box=(10, 310, 80, 15)))


def test_a_small_overlap_is_reported_before_the_score(score):
    content = results_list(ids=IDS[:1])
    result = score(content)
    assert "only 1 of the 4 images" in result.to_text().splitlines()[0]
    assert score(results_list(ids=IDS[:2])).warnings == []


def test_an_image_whose_size_is_unknown_is_not_compared(score):
    truth = ground_truth()
    truth.records[0].update(width=None, height=None)
    assert score(dataset_file(), truth).values["corloc"] == 100.0


@pytest.mark.parametrize("size", [(None, None), (0, 0), (None, 300), (640, 0)])
def test_an_unknown_size_in_a_data_set_file_is_not_compared(score, size):
    result = score(dataset_file(size=size))
    assert result.values["corloc"] == 100.0 and result.warnings == []


def test_unknown_metrics_list_the_known():
    known = ", ".join(METRICS)
    with pytest.raises(UserError, match=f"unknown corlock; known: {known}"):
        parse_metrics("corloc,corlock")
    with pytest.raises(UserError, match="none given"):
        parse_metrics(" ,")
    assert parse_metrics("corloc, corloc") == ["corloc"]


def test_metrics_of_one_function_are_computed_together(monkeypatch, tmp_path):
    calls = []

    def both(truth, predictions):
        calls.append(truth)
        return MetricResult({"one": 1.0, "two": 2.0}, {"images_evaluated": 3}, ["odd"])

    monkeypatch.setitem(METRICS, "one", both)
    monkeypatch.setitem(METRICS, "two", both)
    result = evaluate_predictions(ground_truth(), None, ["two", "one"])
    assert len(calls) == 1
    assert list(result.values) == ["two", "one"]
    assert result.to_json() == {"two": 2.0, "one": 1.0, "images_evaluated": 3}
    assert result.to_text().splitlines() == [
        "warning: odd",
        "two               2.00 %",
        "one               1.00 %",
        "images evaluated       3",
    ]


def test_json_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "out.json"
    write_json(path, {"corloc": 50.0})
    assert json.loads(path.read_text()) == {"corloc": 50.0}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"corloc": float("nan")})
    assert [p.name for p in path.parent.iterdir()] == ["out.json"]
    with pytest.raises(UserError, match="cannot write"):
        write_json(path / "below_a_file.json", {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3, 10**400]}, "4 of 4 entries hold a number that is not finite"),
        ({"bbox": [1, 2, 3, 1e300]}, "not finite, or beyond any image"),
        ({"bbox": [True, 2, 3, 4]}, "bbox of image 5 is .*, not .x, y, width, height"),
        ({"score": 10**400}, "not finite"),
        ({"score": [0.5]}, r"score of image 5 is \[0.5\], not a number"),
        ({"score": True}, "score of image 5 is True, not a number"),
        ({"image_id": True}, "image_id True is neither"),
        ({"image_id": 10**30}, "image_id 1000000.* is neither"),
        ({"image_id": 5.0}, "image_id 5.0 is neither"),
        ({"category_id": "\ud800"}, r"category_id '.ud800' of image 5 is neither"),
        ({"category_id": [1]}, r"category_id \[1\] of image 5 is neither"),
    ],
)
def test_invalid_values_are_named_with_their_image(score, change, message):
    with pytest.raises(UserError, match=message) as caught:
        score([entry | change for entry in results_list()])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("size", [([400], 300), (10**9, 10**9), ("400", "300"), (-400, 300)])
def test_invalid_sizes_are_named_with_their_image(score, size):
    with pytest.raises(UserError, match="image 5 has the width .* and the height .*; they must be"):
        score(dataset_file(size=size))
