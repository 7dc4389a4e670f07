"""Checks of values from JSON files and tables: numbers, ids, texts and sizes, and their display."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from .names import can_be_path

MAX_NUMBER = 3.4028234663852886e38  # largest float32; networks and losses use float32
MAX_COORDINATE = 1e9  # pixels; no image is as large
# Largest image that is read. Pillow warns above half of it and refuses more, unless its own limit
# is changed.
MAX_IMAGE_PIXELS = 178_956_970
MAX_ID_LENGTH = 500
_MAX_ID = 2**63

_MOST_SHOWN = 200  # characters


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring, self.maxlong, self.maxother = 160, 40, 80
        self.maxdict = self.maxlist = self.maxtuple = 12
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python writes no integer of more than 4300 digits
            return "(a number too long to show)"


def shown_value(value: Any) -> str:
    """Return the `repr` of a value of any size and depth, cut to the length of a message.

    >>> shown_value([1, "a"]), len(shown_value(10**4000)) < 60
    ("[1, 'a']", True)
    """
    text = _Short().repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def is_number(value: Any, most: float = MAX_NUMBER) -> TypeGuard[int | float]:
    """Return whether a value is a finite number of at most this size; True and False are not.

    >>> is_number(1.5), is_number(10**400), is_number(float("nan")), is_number(True)
    (True, False, False, False)
    """
    # the value is not converted: an integer may be too large for a float
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and -most <= value <= most
    )


def is_whole(value: Any) -> TypeGuard[int]:
    """Return whether a value is an integer of 64 bits; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool) and -_MAX_ID <= value < _MAX_ID


def is_text(value: Any) -> TypeGuard[str]:
    """Return whether a value is a text without surrogates, which no file or page can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_id(value: Any) -> TypeGuard[int | str]:
    """Return whether a value can be the id of an image or an annotation.

    An id is an integer of 64 bits, or a text of at most `MAX_ID_LENGTH` characters.
    """
    return is_whole(value) or (is_text(value) and len(value) <= MAX_ID_LENGTH)


def is_file_name(value: Any) -> TypeGuard[str]:
    """Return whether a file can have this name; undecodable bytes (as surrogates) are allowed."""
    return isinstance(value, str) and value != "" and can_be_path(value)


def image_sides(height: Any, width: Any) -> tuple[int, int] | None:
    """Return (H, W) if both are whole numbers above 0 and an image can have them; else None.

    >>> image_sides(480, 640.0), image_sides(0, 640), image_sides(10**9, 10**9)
    ((480, 640), None, None)
    """
    sides = []
    for side in (height, width):
        if not is_number(side, MAX_IMAGE_PIXELS) or side != int(side) or side < 1:
            return None
        sides.append(int(side))
    return (sides[0], sides[1]) if sides[0] * sides[1] <= MAX_IMAGE_PIXELS else None


def known_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (H, W) of an image; None if its size is unknown (missing, null, 0 or impossible).

    An unknown size is compatible with every size.
    """
    return image_sides(image.get("height"), image.get("width"))


def size_problem(entry: Mapping[str, Any]) -> str | None:
    """Describe the mistake in an image's `width` and `height`; None if there is no mistake.

    A side that is missing, null or 0 is unknown, which is no mistake.
    """
    height, width = entry.get("height"), entry.get("width")
    if image_sides(*(1 if side in (None, 0) else side for side in (height, width))):
        return None
    return (
        f"has the width {shown_value(width)} and the height {shown_value(height)}; they must be "
        f"whole numbers of pixels, of at most {MAX_IMAGE_PIXELS} pixels in all"
    )


def coordinates_of_words(words: Iterable[str]) -> list[float] | None:
    """Return the numbers in a list of words; None if a word is no finite number or too large.

    >>> coordinates_of_words(["1", "2.5"]), coordinates_of_words(["nan"])
    ([1.0, 2.5], None)
    """
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if all(is_number(number, MAX_COORDINATE) for number in numbers) else None
