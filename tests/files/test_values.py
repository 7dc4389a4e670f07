"""Checks of numbers, ids, texts and sizes from outside."""

import pytest

from boxrefine_d2.files.names import shown_name
from boxrefine_d2.files.values import (
    coordinates_of_words,
    image_sides,
    is_file_name,
    is_id,
    is_number,
    is_text,
    is_whole,
    shown_value,
    size_problem,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [0, -1.5, 3e38, 2**100])
def test_valid_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 4e38, 10**400, True, None, "1", [1]])
def test_invalid_numbers(value):
    assert not is_number(value)


def test_ids():
    assert all(map(is_id, [0, -1, 2**63 - 1, "000005", "caf\u00e9"]))
    assert not any(map(is_id, [2**63, 1.0, True, None, [1], {}, "\ud800", "x" * 501]))
    assert is_whole(2**63 - 1) and not is_whole(1.0)


def test_texts_and_names():
    assert is_text("") and not is_text("\udce9") and not is_text(3)
    assert is_file_name("caf\udce9.jpg")  # Python's form of an undecodable byte
    assert not any(map(is_file_name, ["", "a\0b", "\ud800.jpg", 3, None]))


@pytest.mark.parametrize(
    ("height", "width", "sides"),
    [
        (480, 640, (480, 640)),
        (480.0, 640.0, (480, 640)),
        (480.5, 640, None),
        (0, 640, None),
        (-480, -640, None),
        (10**9, 10**9, None),
        (10**400, 1, None),
        (NAN, 640, None),
        ("480", "640", None),
        ([480], 640, None),
        (True, True, None),
        (None, 640, None),
    ],
)
def test_sizes(height, width, sides):
    computed = image_sides(height, width)
    assert computed == sides
    assert computed is None or all(type(side) is int for side in computed)


def test_an_unknown_size_is_accepted_and_an_invalid_one_is_described():
    for entry in ({}, {"width": None, "height": None}, {"width": 0, "height": 0}, {"width": 3}):
        assert size_problem(entry) is None
    assert "the width [1] and the height 2" in size_problem({"width": [1], "height": 2})
    assert size_problem({"width": [], "height": None})


def test_coordinates_of_words():
    assert coordinates_of_words(["1", " 2.5"]) == [1.0, 2.5]
    for word in ("", "x", "nan", "inf", "1e400", "1e10", "9" * 5000):
        assert coordinates_of_words(["1", word]) is None


def test_values_of_any_size_are_shown_in_a_few_characters():
    nested = []
    for _ in range(900):
        nested = [nested]
    wide = ["x" * 999] * 99
    values = (
        10**4299,
        "x" * 10**6,
        list(range(10**5)),
        nested,
        [wide] * 9,
        {"\ud800": ["\udce9"] * 99},
    )
    for value in values:
        text = shown_value(value)
        assert len(text) <= 203
        text.encode()
    assert shown_value([10**5000, 3]) == "[(a number too long to show), 3]"
    stage = {
        "name": "a",
        "run": "b.py",
        "makes": "c",
        "inputs": [1],
        "stray": (1, 2, 3, 4, 5, 6, 7),
    }
    assert "'stray': (1, 2, 3, 4, 5, 6, 7)" in shown_value(stage)


def test_shown_names_of_any_characters_can_be_written():
    for name in ("caf\udce9.jpg", "\ud800.jpg", "a\udce9\ud800", "\u8eca"):
        shown_name(name).encode()
    assert shown_name("\u8eca") == "\u8eca"
