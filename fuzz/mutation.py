"""Seeded damage to valid files."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2**31, -(2**63), 2**64, 10**9, 10**30, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *(
        "",
        " ",
        "x" * 5000,
        "\x00",
        "\ud800",
        "\udce9",
        "a\nb\r\x1b[31m",
        "nan",
        "1e999",
        "-1",
        "None",
    ),
    *(
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "<script>alert(1)</script>",
        "$x$",
        "%s%n",
        "{0}",
        "一只浣熊",
    ),
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [None], {"a": 1})


def damaged(data: bytes, draw: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return bytes damaged in one to four ways. Args: others: files to splice with."""
    ways = [_flip, _flip, _edge, _cut, _drop, _repeat, _zero, _insert]
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if others and draw.random() < 0.15:
            data = _splice(data, draw.choice(others), draw)
        else:
            data = draw.choice(ways)(data, draw)
    return data


def _span(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    # Parsers depend on headers, which are at the start.
    start = min(start, draw.randrange(64)) if draw.random() < 0.4 else start
    return start, min(len(data), start + int(2 ** draw.uniform(0, 10)))


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        if changed:
            place, _ = _span(data, draw)
            changed[min(place, len(changed) - 1)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _edge(data: bytes, draw: random.Random) -> bytes:
    """Replace one, two, four or eight bytes by an extreme number."""
    place, _ = _span(data, draw)
    size = draw.choice((1, 2, 4, 8))
    number = draw.choice(_EDGES) & (2 ** (8 * size) - 1)
    order = draw.choice(("little", "big"))
    return data[:place] + number.to_bytes(size, order) + data[place + size :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _drop(data: bytes, draw: random.Random) -> bytes:
    start, end = _span(data, draw)
    return data[:start] + data[end:]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    start, end = _span(data, draw)
    return data[:end] + data[start:end] * draw.choice((1, 1, 2, 50)) + data[end:]


def _zero(data: bytes, draw: random.Random) -> bytes:
    start, end = _span(data, draw)
    return data[:start] + draw.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def _insert(data: bytes, draw: random.Random) -> bytes:
    start, _ = _span(data, draw)
    return data[:start] + draw.randbytes(draw.choice((1, 2, 4, 16, 300))) + data[start:]


def _splice(data: bytes, other: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other) + 1) :]


def damaged_tree(content: Any, draw: random.Random, values: Sequence[Any] = VALUES) -> Any:
    """Return a copy of nested dicts and lists with one to three damaged places.

    A damaged place is replaced, dropped or doubled.
    """
    content = {"": copy.deepcopy(content)}
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        holder, key = draw.choice(places)
        act = draw.random()
        if act < 0.75:
            holder[key] = copy.deepcopy(draw.choice(values))
        elif act < 0.9 and holder is not content:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, holder[key])
        elif holder is not content:
            holder[draw.choice(TEXTS)] = holder[key]
    return content.get("")


def _places(content: Any, depth: int = 0) -> Any:
    keys = content.keys() if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], (dict, list)) and depth < 8:
            yield from _places(content[key], depth + 1)


def pick_weighted(draw: random.Random, ways: dict[Callable[..., Any], float]) -> Callable[..., Any]:
    """Return one of the functions, drawn by their weights."""
    return draw.choices(list(ways), list(ways.values()))[0]
