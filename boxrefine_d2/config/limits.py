"""Limits of the keys of the configuration: in words for messages and pages, and as a test."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_MOST_WHOLE = 2**31 - 1


@dataclass(frozen=True)
class Limit:
    """The values that a key may hold.

    Attributes:
        allowed: the values in words that follow "must be".
        holds: whether a value is one of them; a TypeError means no.
        registries: tables of this package that know the values, such as
            "networks.build.BACKBONES".
    """

    allowed: str
    holds: Callable[[Any], bool] = lambda value: True
    registries: tuple[str, ...] = ()


def whole(least: int, most: int = _MOST_WHOLE) -> Limit:
    """Allow whole numbers from `least` to `most`."""
    upper = f" and at most {most}" if most < _MOST_WHOLE else ""
    return Limit(f"at least {least}{upper}", lambda value: least <= value <= most)


def between(least: float, most: float) -> Limit:
    """Allow the numbers of a closed range."""
    return Limit(f"from {least:g} to {most:g}", lambda value: least <= value <= most)


def above(bound: float) -> Limit:
    """Allow numbers greater than a bound."""
    return Limit(f"greater than {bound:g}", lambda value: value > bound)


def one_of(*known: Any) -> Limit:
    """Allow a few values."""
    return Limit(f"one of {', '.join(map(repr, known))}", lambda value: value in known)


def entry_of(*registries: str) -> Limit:
    """Allow any text: a registry of another room refuses an unknown name.

    Args: registries: their names in this package, such as "networks.build.BACKBONES".
    """
    return Limit(f"a name of {' or '.join(registries)}", registries=registries)


def text(allowed: str = "a text") -> Limit:
    """Allow any text: the room that uses it checks it. Args: allowed: the texts, in words."""
    return Limit(allowed)


def weights(default: str) -> Limit:
    """Allow a file of weights, "random[:SEED]", or "" for a default file.

    Args: default: the default file, in words.
    """
    return text(f'a file, "random[:SEED]", or "" for {default}')


def several(each: Limit, least: int = 0, most: int = 1000, *, order: str = "") -> Limit:
    """Allow a list of values that each keep to a limit.

    Args:
        least, most: its length.
        order: "" for any, "rising", or "strictly rising".
    """
    count = (
        str(least) if least == most else f"{least} or more" if most == 1000 else f"{least}-{most}"
    )
    words = f"{count} values, {f'{order}, ' if order else ''}each {each.allowed}"
    return Limit(
        words,
        lambda values: (
            least <= len(values) <= most and all(map(each.holds, values)) and _in(values, order)
        ),
    )


def pair(each: Limit) -> Limit:
    """Allow a range: its start, and an end that is no smaller."""
    return several(each, 2, 2, order="rising")


def maybe(limit: Limit) -> Limit:
    """Allow None beside the values of `limit`."""
    return Limit(f"None or {limit.allowed}", lambda value: value is None or limit.holds(value))


def maybe_empty(limit: Limit) -> Limit:
    """Allow the empty list beside the values of `limit`."""
    return Limit(f"() or {limit.allowed}", lambda value: not len(value) or limit.holds(value))


def _in(values: Iterable[Any], order: str) -> bool:
    listed = list(values)
    steps = zip(listed, listed[1:])
    return not order or all(a < b or (order == "rising" and a == b) for a, b in steps)


NOT_EMPTY = Limit(
    "a text that is not empty", lambda value: isinstance(value, str) and bool(value.strip())
)
SHARE, POSITIVE, NOT_NEGATIVE = between(0, 1), above(0), between(0, 1e30)
SOME_SHARE = Limit("greater than 0, at most 1", lambda value: 0 < value <= 1)
BELOW_1 = Limit("at least 0, below 1", lambda value: 0 <= value < 1)
COSINE = between(-1, 1)
COUNT, ONE_OR_MORE = whole(0), whole(1)
SIDE = whole(1, 16_384)  # of an image, pixels
WIDTH = whole(1, 65_536)  # of a layer, channels
BETAS = several(BELOW_1, 2, 2)  # of Adam
AREA = pair(SOME_SHARE)  # a range of shares of an image
