"""File names that belong to the same image."""

import unicodedata

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import (
    DIFFERENT,
    OTHER_CASE,
    SAME,
    NameCheck,
    compare_names,
)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/b.jpg", "a/b.jpg", SAME),
        ("b.jpg", "a/b.jpg", SAME),
        ("images\\a\\b.jpg", "a/b.jpg", SAME),
        ("./a//b.jpg", "a/b.jpg", SAME),
        (unicodedata.normalize("NFD", "Café.jpg"), unicodedata.normalize("NFC", "Café.jpg"), SAME),
        ("caf\udce9.jpg", "caf\udce9.jpg", SAME),
        ("a.JPG", "a.jpg", OTHER_CASE),
        ("x/a.JPG", "a.jpg", OTHER_CASE),
        ("a.png", "a.jpg", DIFFERENT),
        ("seqA/00000.jpg", "seqB/00000.jpg", DIFFERENT),
        ("bb.jpg", "b.jpg", DIFFERENT),  # the common end is no whole folder
        ("A.jpg", "a.jpg", DIFFERENT),
        ("a", "a.jpg", DIFFERENT),
    ],
)
def test_which_names_are_the_same_image(one, other, expected):
    assert compare_names(one, other) == compare_names(other, one) == expected


def checked(pairs, names):
    check = NameCheck("there.json", "here")
    for image_id, (there, here) in enumerate(pairs, start=1):
        check.add(image_id, there, here)
    return check.finish(names)


def test_names_that_agree_give_no_warning():
    assert checked([("a/b.jpg", "a/b.jpg"), ("c.jpg", "a/c.jpg")], ["a/b.jpg", "a/c.jpg"]) == []


def test_one_image_of_another_name_is_enough_to_refuse():
    with pytest.raises(
        UserError, match=r"1 of the 2 images in there.json .* id 2: 'B/0.jpg' there"
    ):
        checked([("A/0.jpg", "A/0.jpg"), ("B/0.jpg", "C/0.jpg")], ["A/0.jpg", "C/0.jpg", "B/0.jpg"])


def test_another_case_of_the_suffix_is_counted_and_named():
    [warning] = checked([("a.JPG", "a.jpg"), ("b.JPG", "b.jpg")], ["a.jpg", "b.jpg"])
    assert "2 of the 2 images in there.json have their suffix in another case" in warning
    assert "'a.JPG' there, 'a.jpg' here" in warning


def test_a_suffix_in_another_case_that_is_another_image_is_refused():
    with pytest.raises(UserError, match=r"id 1: 'a.JPG' there, 'a.jpg' here"):
        checked([("a.JPG", "a.jpg")], ["a.jpg", "a.JPG"])


def test_renamed_images_may_be_counted_and_shifted_ones_are_refused():
    check = NameCheck("there.json", "here")
    check.add(1, "frame_1.png", "A/0.jpg")
    [warning] = check.finish(["A/0.jpg", "B/0.jpg"], renamed_is_wrong=False)
    assert "1 of the 1 images in there.json have names that no image of the other has" in warning
    check.add(2, "A/0.jpg", "B/0.jpg")
    with pytest.raises(
        UserError, match="1 of the 2 images .* id 2: 'A/0.jpg' there, 'B/0.jpg' here"
    ):
        check.finish(["A/0.jpg", "B/0.jpg"], renamed_is_wrong=False)


def test_base_names_that_fit_several_images_are_counted():
    pairs = [("0.jpg", "A/0.jpg"), ("1.jpg", "A/1.jpg")]
    [warning] = checked(pairs, ["A/0.jpg", "A/1.jpg", "B/0.jpg"])
    assert "1 file names in there.json fit several images of here" in warning
