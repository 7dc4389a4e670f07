"""Equality of file names: the one rule of every command that joins two files by image ids.

Names are compared as paths with "/" (Windows writes a backslash) and in Unicode's composed form (a
Mac writes the decomposed form). Files of other tools may start one folder higher or lower:
two names are equal if one is the end of the other, in whole folders. A suffix in another case
(.JPG) is accepted and counted. Every other difference, such as another suffix, means another image:
either ids were shifted, or the files belong to different data sets.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from boxrefine_d2.errors import UserError

SAME, OTHER_CASE, DIFFERENT = "same", "other case", "different"


def plain_name(name: str) -> str:
    """Return a relative name in the form in which names are compared.

    >>> plain_name("images\\\\a.jpg"), plain_name("./a//b.jpg")
    ('images/a.jpg', 'a/b.jpg')
    """
    return PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).as_posix()


def compare_names(one: str, other: str) -> str:
    """Return `SAME`, `OTHER_CASE` or `DIFFERENT`.

    >>> compare_names("a/b.jpg", "b.jpg"), compare_names("b.JPG", "b.jpg")
    ('same', 'other case')
    >>> compare_names("a/b.jpg", "c/b.jpg")
    'different'
    """
    first, second = plain_name(one), plain_name(other)
    if _ends_in(first, second):
        return SAME
    return OTHER_CASE if _ends_in(_folded(first), _folded(second)) else DIFFERENT


class NameCheck:
    """Comparison of the names that two files give to images of the same id."""

    def __init__(self, there: str, here: str):
        """Create an empty check.

        Args:
            there: name of the other file, for messages.
            here: name of this file or data set, for messages.
        """
        self._there, self._here = there, here
        self._pairs = 0
        # plain name there -> id, name there, name here
        self._different: dict[str, _Pair] = {}
        self._other_case: dict[str, _Pair] = {}
        self._short: set[str] = set()  # names there that are the end of a longer name here

    def add(self, image_id: int | str, there: str, here: str) -> None:
        """Compare one image."""
        self._pairs += 1
        verdict, plain = compare_names(there, here), plain_name(there)
        if verdict == DIFFERENT:
            self._different[plain] = image_id, there, here
        elif verdict == OTHER_CASE:
            self._other_case[plain] = image_id, there, here
        elif len(plain) < len(plain_name(here)):
            self._short.add(plain)

    def finish(self, names: Iterable[str], *, renamed_is_wrong: bool = True) -> list[str]:
        """Return warnings, one line each.

        Args:
            names: names of all images of `here`.
            renamed_is_wrong: whether a name that no image of `here` has is refused; otherwise it is
                counted.
        Raises: UserError, with their number and an example, if ids belong to other images: the name
            of an image there is the name of another image here, or of none.
        """
        looked_for = self._short | self._different.keys() | self._other_case.keys()
        known = Counter(end for name in names for end in _ends(name) if end in looked_for)
        elsewhere = [
            pair
            for pairs in (self._different, self._other_case)
            for plain, pair in pairs.items()
            if known[plain] or (renamed_is_wrong and pairs is self._different)
        ]
        if elsewhere:
            raise UserError(
                f"{self._counted(len(elsewhere), 'have other names', elsewhere[0])}; "
                "was it made before files were added or removed, or from another data set?"
            )
        warnings = [
            self._counted(
                len(pairs), f"{finding}; they are matched by id", next(iter(pairs.values()))
            )
            for pairs, finding in (
                (self._different, "have names that no image of the other has"),
                (self._other_case, "have their suffix in another case"),
            )
            if pairs
        ]
        unclear = sum(known[name] > 1 for name in self._short)
        if unclear:
            warnings.append(
                f"{unclear} file names in {self._there} fit several images of {self._here} "
                "by their end; they are matched by id"
            )
        return warnings

    def _counted(self, count: int, finding: str, example: "_Pair") -> str:
        image_id, there, here = example
        return (
            f"{count} of the {self._pairs} images in {self._there} {finding} "
            f"(compared with {self._here}), for example id "
            f"{image_id!r}: {there!r} there, {here!r} here"
        )


_Pair = tuple[int | str, str, str]


def _ends(name: str) -> Iterator[str]:
    """Yield the name and its ends, in whole folders: a/b/c.jpg, b/c.jpg, c.jpg."""
    parts = plain_name(name).split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _ends_in(one: str, other: str) -> bool:
    return ("/" + one).endswith("/" + other) or ("/" + other).endswith("/" + one)


def _folded(name: str) -> str:
    """Return the name with its suffix in lower case."""
    path = PurePosixPath(name)
    return path.with_suffix(path.suffix.lower()).as_posix() if path.suffix else name
