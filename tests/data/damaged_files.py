"""Seeded damage to label and prediction files.

Each function takes a valid document and yields pairs (name of the damage, bytes of the damaged
file). The same seed gives the same damage. This module does not need pytest, and `make fuzz` uses
it too.
"""

import codecs
import json
import random
import re
from collections.abc import Iterator
from typing import Any

Damaged = tuple[str, bytes]

_MARK = "\u241f"  # placeholder in the text for a value to replace

# Name -> JSON text of an odd value: a wrong type, a number out of range, a string that is not valid
# text, or an invalid mask or box.
ODD_VALUES = {
    "null": "null",
    "true": "true",
    "empty list": "[]",
    "empty object": "{}",
    "empty text": '""',
    "text": '"x"',
    "number as text": '"12"',
    "zero": "0",
    "minus one": "-1",
    "half": "0.5",
    "billion": "1000000000",
    "beyond 64 bits": "36893488147419103232",
    "beyond floats": "1" + "0" * 400,
    "beyond 4300 digits": "9" * 5000,
    "large": "1e300",
    "beyond exponents": "1e400",
    "minus infinity": "-Infinity",
    "not a number": "NaN",
    "half a character": '"\\ud800"',
    "byte that is no text": '"caf\\udce9.jpg"',
    "null character": '"a\\u0000b"',
    "long text": '"' + "x" * 5000 + '"',
    "path upwards": '"../../x"',
    "absolute path": '"/etc/passwd"',
    "list of numbers": "[1]",
    "list of null": "[null]",
    "list of objects": "[{}]",
    "nested lists": "[" * 50 + "]" * 50,
    "box of texts": '["1", "2", "3", "4"]',
    "box beyond floats": "[1, 2, 1e308, 1e308]",
    "box that is not finite": "[NaN, 1, 2, Infinity]",
    "box of large integers": "[1, 2, 3, 1" + "0" * 400 + "]",
    "box of booleans": "[true, true, true, true]",
    "box in lists": "[[1], [2], [3], [4]]",
    "box turned": "[5, 5, -3, -3]",
    "polygon that is not finite": "[[NaN, 0, 5, 0, 5, 5]]",
    "polygon far away": "[[0, 0, 1e300, 0, 5, 5]]",
    "polygon a million times around": "[[" + ", ".join(["0, 0, 900000, 900000"] * 500) + "]]",
    "polygon of odd length": "[[0, 0, 5, 0, 5, 5, 1]]",
    "polygon of texts": '[["0", "0", "5", "0", "5", "5"]]',
    "polygon of null": "[[null, 0, 5, 0, 5, 5]]",
    "polygon of two corners": "[[0, 0, 5, 5]]",
    "mask of a huge size": '{"size": [1000000000, 1000000000], "counts": [1000000000000000000]}',
    "mask of a huge size, as text": '{"size": [1000000000, 1000000000], "counts": "o"}',
    "mask of huge counts": '{"size": [20, 10], "counts": [1' + "0" * 400 + "]}",
    "mask of negative counts": '{"size": [20, 10], "counts": [-100, 300]}',
    "mask of counts that do not fill": '{"size": [20, 10], "counts": [10, 20]}',
    "mask of no ASCII": '{"size": [20, 10], "counts": "\u00e9\\u4e2d"}',
    "mask of half a character": '{"size": [20, 10], "counts": "\\ud800"}',
    "mask cut short": '{"size": [20, 10], "counts": "P"}',
    "mask without counts": '{"size": [20, 10], "counts": null}',
    "mask of a negative size": '{"size": [-20, -10], "counts": [200]}',
    "mask of a size of texts": '{"size": ["20", "10"], "counts": [200]}',
    "mask without a size": '{"counts": "0"}',
}  # fmt: skip

ODD_WORDS = [
    "", "x", "nan", "inf", "-inf", "1e400", "-1", "0", "0.5", "1e300", "1" + "0" * 400, "9" * 5000,
    "\uff11\uff12", "1_0", "0x10", "\x00", "caf\u00e9", "\u2028", '"', "a b", "../../x",
    "/etc/passwd", "<b>", "x" * 5000,
]  # fmt: skip


def damaged_json(document: Any, seed: int, most: int | None = None) -> Iterator[Damaged]:
    """Yield JSON documents with one value replaced, left out or repeated, and damaged whole texts.

    Args: most: largest number of replacements, drawn by the seed; None: each odd value at each
        place of the document.
    """
    rng = random.Random(seed)
    places = list(_places(document))
    replaced = [(place, name) for place in places for name in ODD_VALUES]
    if most is not None and most < len(replaced):
        replaced = rng.sample(replaced, most)
    for place, name in replaced:
        text = json.dumps(_with(document, place, _MARK), ensure_ascii=False)
        yield f"{_path(place)}: {name}", _utf8(text.replace(f'"{_MARK}"', ODD_VALUES[name]))
    for place in places:
        if place and isinstance(place[-1], str):
            yield f"{_path(place)}: left out", _utf8(json.dumps(_without(document, place)))
    text = json.dumps(document)
    for match in rng.sample(list(re.finditer(r'"\w+": ', text)), k=min(5, text.count('": '))):
        twice = text[: match.start()] + match[0] + "null, " + text[match.start() :]
        yield f"{match[0]}twice", _utf8(twice)
    yield "list around", _utf8(f"[{text}]")
    yield "nested without end", _utf8("[" * 100_000)
    yield "nested deeply", _utf8("[" * 100_000 + "]" * 100_000)
    yield from damaged_bytes(text, rng)


def damaged_xml(text: str, seed: int) -> Iterator[Damaged]:
    """Yield XML with odd words, without an element, in other encodings or with growing entities."""
    rng = random.Random(seed)
    for match in re.finditer(r">([^<>]+)<", text):
        for word in rng.sample(ODD_WORDS, k=8):
            odd = text[: match.start(1)] + word + text[match.end(1) :]
            yield f"{match[1]!r} is {word[:20]!r}", _utf8(odd)
    for match in re.finditer(r"<(\w+)>[^<>]*</\1>", text):
        yield f"{match[0]!r} left out", _utf8(text[: match.start()] + text[match.end() :])
    body = re.sub(r"^<\?xml[^>]*\?>", "", text).replace(
        "<annotation>", "<annotation><source>\u4e2d</source>", 1
    )
    for declared in (
        "gb2312",
        "shift_jis",
        "gbk",
        "big5",
        "utf-16",
        "iso-8859-1",
        "utf8mb4",
        "hex",
        "punycode",
        "x" * 500,
    ):
        for written in (
            "utf-8",
            "gb2312",
            "shift_jis",
            "big5",
            "utf-16",
            "utf-16-le",
            "utf-32",
            "latin-1",
            "utf-8-sig",
        ):
            whole = f'<?xml version="1.0" encoding="{declared}"?>{body}'
            yield f"declared {declared[:10]}, written {written}", whole.encode(written, "replace")
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    yield "entities that grow", _utf8(f"<!DOCTYPE a [{lol}]>" + body.replace("\u4e2d", "&l9;"))
    yield (
        "one large entity",
        _utf8(
            f'<!DOCTYPE a [<!ENTITY l "{"x" * 50_000}">]>' + body.replace("\u4e2d", "&l;" * 50_000)
        ),
    )
    yield (
        "an entity of a file",
        _utf8(
            '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>' + body.replace("\u4e2d", "&l;")
        ),
    )
    yield "an external subset", _utf8('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + body)
    yield (
        "an entity in UTF-16",
        ('<!DOCTYPE a [<!ENTITY l "x">]>' + body.replace("\u4e2d", "&l;")).encode("utf-16"),
    )
    yield "nested deeply", _utf8("<a>" * 100_000 + "</a>" * 100_000)
    yield from damaged_bytes(text, rng)


def damaged_table(text: str, seed: int, separator: str) -> Iterator[Damaged]:
    """Yield text tables with odd words, or with a missing, repeated, longer or shorter line."""
    rng = random.Random(seed)
    lines = text.splitlines()
    for number, line in enumerate(lines):
        words = line.split(separator)
        for place in range(len(words)):
            for word in rng.sample(ODD_WORDS, k=6):
                odd = separator.join([*words[:place], word, *words[place + 1 :]])
                changed = "\n".join([*lines[:number], odd, *lines[number + 1 :]]) + "\n"
                yield f"line {number + 1}, word {place + 1} is {word[:20]!r}", _utf8(changed)
        for damage, new in (
            ("left out", []),
            ("twice", [line, line]),
            ("cut", [separator.join(words[:-1])]),
            ("longer", [line + separator + "1"]),
        ):
            yield (
                f"line {number + 1} {damage}",
                _utf8("\n".join([*lines[:number], *new, *lines[number + 1 :]]) + "\n"),
            )
    yield from damaged_bytes(text, rng)


def damaged_bytes(text: str, rng: random.Random) -> Iterator[Damaged]:
    """Yield a text cut short, with bytes changed or in other encodings, and unrelated contents."""
    data = text.encode()
    for _ in range(12):
        end = rng.randrange(len(data) + 1)
        yield f"cut at {end}", data[:end]
        flipped = bytearray(data)
        places = [rng.randrange(len(data)) for _ in range(rng.choice((1, 3, 10)))]
        for place in places:
            flipped[place] = rng.randrange(256)
        yield f"bytes {places} changed", bytes(flipped)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-7"):
        yield f"in {encoding}", text.encode(encoding)
    yield "two byte order marks", codecs.BOM_UTF8 * 2 + data
    yield "a byte of Latin-1", data[: len(data) // 2] + b"\xe9" + data[len(data) // 2 :]
    yield "lines of Windows", data.replace(b"\n", b"\r\n")
    yield "null characters", data + b"\0" * 100
    yield "text after the end", data + b"\n<<<<<<< HEAD\n"
    yield "twice", data + data
    yield "empty", b""
    yield "blank", b" \n\n"
    yield "binary", rng.randbytes(3000)
    yield "a git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    yield "a login page", b"<!DOCTYPE html><html><title>Sign in</title></html>"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all values in a document, starting with the document itself.

    Of a list with more than two plain values, only the first and the last get a path.
    """
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*at, key))
    elif isinstance(value, list):
        numbers = len(value) > 2 and not any(isinstance(item, (dict, list)) for item in value)
        for index in (0, len(value) - 1) if numbers else range(len(value)):
            yield from _places(value[index], (*at, index))


def _with(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a document with another value at a place."""
    if not place:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[place[0]] = _with(copy[place[0]], place[1:], value)
    return copy


def _without(document: Any, place: tuple[Any, ...]) -> Any:
    copy = dict(document) if isinstance(document, dict) else list(document)
    if len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _without(copy[place[0]], place[1:])
    return copy


def _path(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place)) or "all"
