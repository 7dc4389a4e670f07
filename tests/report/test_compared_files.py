import pytest

from boxrefine_d2.data import write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.report.compared_files import SORTS, compare, read_label_file

RECORDS = [{"image_id": i, "relative_name": f"{i}.jpg"} for i in (1, 2, 3, 4)]


@pytest.fixture
def label_file(tmp_path):
    """Return a function that writes and reads a label file of images of 20 x 20 pixels.

    It takes {image id: boxes [x, y, w, h]}; the scores are 1, 1/2, ...
    """

    def write(name, boxes, folder="", info=None):
        images = [
            {"id": i, "file_name": f"{folder}{i}.jpg", "width": 20, "height": 20} for i in boxes
        ]
        annotations = [
            {"image_id": i, "bbox": box, "score": 1 / rank}
            for i, image_boxes in boxes.items()
            for rank, box in enumerate(image_boxes, start=1)
        ]
        path = tmp_path / name
        write_pseudo_labels(path, images=images, annotations=annotations, info=info or {})
        return read_label_file(str(path))

    return write


def test_disagreement_by_hand(label_file):
    """IoU of the top boxes: image 1: 1; image 2: 1/2; image 3: 0, only one box; image 4: no box."""
    one = label_file("a.json", {1: [[0, 0, 10, 10]], 2: [[0, 0, 10, 10]], 3: [[0, 0, 5, 5]], 4: []})
    other = label_file(
        "b.json", {1: [[0, 0, 10, 10], [1, 1, 2, 2]], 2: [[0, 0, 10, 5]], 3: [], 4: []}
    )
    images = compare([one, other], RECORDS, "data")
    assert [image.disagreement for image in images] == [0, 0.5, 1, 0]
    assert [i.name for i in sorted(images, key=SORTS["disagreement"])] == [
        *("3.jpg", "2.jpg", "1.jpg", "4.jpg")
    ]


def test_disagreement_is_the_mean_over_pairs_of_files_that_list_the_image(label_file):
    """Boxes A = B, C apart: pairs AB 0, AC 1, BC 1. Two files list image 2, one lists image 3."""
    one = label_file("a.json", {1: [[0, 0, 5, 5]], 2: [[0, 0, 5, 5]], 3: [[0, 0, 5, 5]]})
    two = label_file("b.json", {1: [[0, 0, 5, 5]], 2: [[0, 0, 5, 5]]})
    three = label_file("c.json", {1: [[9, 9, 5, 5]]})
    images = compare([one, two, three], RECORDS, "data")
    assert [image.disagreement for image in images] == [pytest.approx(2 / 3), 0, None]
    assert images[1].found[2] is None
    assert sorted(images, key=SORTS["disagreement"])[-1].name == "3.jpg"


def test_the_score_is_that_of_the_first_file(label_file):
    one = label_file("a.json", {1: [], 2: [[0, 0, 5, 5]]})
    other = label_file("b.json", {1: [[0, 0, 5, 5]], 2: []})
    images = compare([one, other], RECORDS, "data")
    assert [image.score for image in images] == [None, 1]
    assert [image.name for image in sorted(images, key=SORTS["score"])] == ["2.jpg", "1.jpg"]


def test_images_of_another_data_set(label_file):
    file = label_file("a.json", {1: [], 2: []})
    other_records = [{"image_id": "000007", "relative_name": "x.jpg"}]
    with pytest.raises(
        UserError, match=r"no image of .* is in 'data': the ids there are 1, 2, .*'000007'"
    ):
        compare([file], other_records, "data")
    swapped = [{"image_id": 1, "relative_name": "2.jpg"}]
    with pytest.raises(
        UserError,
        match=r"a.json' have other names .compared with 'data'., "
        r".* id 1: '1.jpg' there, '2.jpg' here",
    ):
        compare([file], swapped, "data")


def test_a_folder_more_or_less_is_the_same_image(label_file):
    file = label_file("a.json", {1: []}, folder="train/")
    assert len(compare([file], RECORDS, "data")) == 1


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([{"file_name": "x.jpg", "reason": "empty"}], {"x.jpg": "empty"}),
        (["x.jpg", {"file_name": "y.jpg"}], {"y.jpg": "no reason given"}),
        (7, {}),
    ],
)
def test_images_that_failed_when_the_file_was_made(label_file, failures, expected):
    assert label_file("a.json", {1: []}, info={"images_failed": failures}).failed == expected
