"""XML of annotation tools: its text by what it declares and by what it is, its structure without entities."""

import codecs
import os
import re
from xml.etree import ElementTree

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, text_stand_in

MAX_BYTES = (
    16 * 2**20
)  # an image's annotations take a few thousand; elements take some thirty times as much memory
_DECLARATION = re.compile(
    rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]+)["'][^>]*\?>"""
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its start
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# what tools write under these names holds more characters than the standards of these names
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
}


def read_xml(path: str | os.PathLike[str], what: str) -> ElementTree.Element:
    """Return the root of an XML file.

    The encoding is that of the byte order mark; else the declared one, if the bytes agree with it; else UTF-8, if they
    agree with that. UTF-8 also takes the place of a declared encoding of one byte a character, with which all bytes
    agree: no other text looks like UTF-8 by chance.

    Args:   what: what the file is to be, for messages ("VOC annotation").
    Raises: UserError, naming the file, for what is no regular file, has more than 16 MiB, is of no known encoding, is
            damaged, or defines entities (which can grow without bound, or stand for other files).
    """
    shown = f"{what} {os.fspath(path)!r}"
    check_regular_file(path, what, MAX_BYTES)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {shown}: {error.strerror or error}") from error
    instead = text_stand_in(data[:512])
    if instead:
        raise UserError(f"cannot read {shown}: it is {instead}")
    text = _text(data, shown)
    if "<!ENTITY" in text:
        raise UserError(
            f"cannot read {shown}: it defines XML entities, which annotations do not need; remove its <!ENTITY ...>"
        )
    try:
        # the parser takes a text for what it is, whatever encoding it declares
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: half a character
        raise UserError(f"cannot read {shown}: {error}") from error


def _text(data: bytes, shown: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = _decoded(data, encoding)
            if text is None:
                raise UserError(f"cannot read {shown}: it is damaged, or no text in {encoding}")
            return text
    utf8 = _decoded(data, "utf-8")
    match = _DECLARATION.match(data[:1024])
    declared = match[1].decode() if match else "utf-8"
    own = _in_declared(data, declared)
    if utf8 is not None and (own is None or len(own) == len(data)):
        return utf8
    if own is None:
        problem = (
            f"its text is neither UTF-8 nor {declared!r}, which it declares; save it as UTF-8"
            if match
            else "its text is no UTF-8, and it declares no encoding; save it as UTF-8"
        )
        raise UserError(f"cannot read {shown}: {problem}")
    return own


def _in_declared(data: bytes, name: str) -> str | None:
    """The text, if the bytes agree with an encoding in which the declaration itself can be read."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    for encoding in (name, _WIDER.get(known)):
        text = None if encoding is None else _decoded(data, encoding)
        if text is not None and text.lstrip().startswith("<?xml"):
            return text
    return None


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (LookupError, ValueError):  # LookupError: a codec, but of no text ("hex")
        return None
