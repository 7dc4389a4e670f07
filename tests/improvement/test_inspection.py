import logging

import pytest

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import check_boxes, check_images, check_targets
from boxrefine_d2.improvement.inspection import LEAST_IMAGES, whole_image_targets

HALF, WHOLE = [10, 10, 40, 40], [0, 0, 96, 62]


def test_too_few_images_and_pseudo_labels_are_refused():
    check_images("folder:x", [{}] * LEAST_IMAGES)
    with pytest.raises(UserError, match="'folder:x' has 1 image, and a comparison"):
        check_images("folder:x", [{}])
    with pytest.raises(UserError, match="makes its own: leave .pseudo out"):
        check_images("folder:x+pseudo=a.json", [{}] * 20)


def test_images_that_cannot_be_read_count_as_missing(label_file):
    check_boxes(label_file(dict.fromkeys(range(LEAST_IMAGES), [HALF])))
    failed = [{"file_name": "9.png", "reason": "cut short"}]
    path = label_file({1: [HALF], 2: []}, images_failed=failed)
    with pytest.raises(UserError, match="boxes of 2 images.*failed, first: 9.png: cut short"):
        check_boxes(path)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([], r"0 of 12 images have a target, and at least 8 .* another value of --set targets"),
        ([WHOLE], "12 of 12 targets cover the whole image"),
        ([HALF, WHOLE], None),
        ([HALF], None),
    ],
)
def test_targets_that_teach_nothing_are_refused(label_file, own, message, caplog):
    path = label_file(dict.fromkeys(range(12), own))
    if message is None:
        with caplog.at_level(logging.WARNING):
            check_targets(path, "absorption")
        assert ("12 of 24 cover the whole image" in caplog.text) == (WHOLE in own)
    else:
        with pytest.raises(UserError, match=message) as refused:
            check_targets(path, "absorption")
        assert str(path) in str(refused.value) and "stage 'before'" in str(refused.value)


def test_a_target_of_the_whole_image_may_lack_a_rim(label_file):
    path = label_file({1: [[0, 0, 96, 61]], 2: [[0, 0, 96, 60]]})
    assert whole_image_targets(read_pseudo_labels(path)) == 1
