"""Reader of XML files from annotation tools.

It derives the encoding from the declaration and the bytes, and refuses entities.
"""

import codecs
import os
import re
from xml.etree import ElementTree

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, text_stand_in

# The annotations of one image take a few thousand bytes. Parsed elements take about thirty times as
# much memory as the text.
MAX_BYTES = 16 * 2**20
_DECLARATION = re.compile(
    rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]+)["'][^>]*\?>"""
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Encodings that tools write under these names; they have more characters than the standards.
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
}


def read_xml(path: str | os.PathLike[str], description: str) -> ElementTree.Element:
    """Return the root element of an XML file.

    A byte order mark decides the encoding. Without a mark, it is the declared encoding if the bytes
    are valid in it, and otherwise UTF-8 if they are valid in UTF-8. There is one exception: any
    bytes are valid in an encoding with one byte per character. If such an encoding is declared and
    the bytes are valid UTF-8, they are read as UTF-8: no other text is valid UTF-8 by chance.

    Args:   description: expected kind of file, for messages ("VOC annotation").
    Raises: UserError that names the file, if it is not a regular file, is larger than 16 MiB, has
            no known encoding, is damaged, or defines entities (which can grow without bound, or
            stand for other files).
    """
    shown = f"{description} {os.fspath(path)!r}"
    check_regular_file(path, description, MAX_BYTES)
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
            f"cannot read {shown}: it defines XML entities, which annotations do not need; "
            "remove its <!ENTITY ...>"
        )
    try:
        # The parser ignores the declared encoding of a string.
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: a lone surrogate
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
    """Return the text in the declared encoding, or None.

    The bytes must be valid in the encoding, and the decoded text must start with the declaration.
    """
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
    except (LookupError, ValueError):  # LookupError: a codec that does not decode text ("hex")
        return None
