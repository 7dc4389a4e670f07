"""Names of files: for people to read, and made from texts of any length."""

import hashlib
import os
import re
from pathlib import Path

MAX_NAME_BYTES = 255  # of one part of a path, on nearly every file system
_DIGEST_LENGTH = 10
_NO_TEXT = re.compile("[\ud800-\udfff]")  # halves of characters, and bytes as Python keeps them
# the same, controls, line and paragraph separators, overrides of the direction of writing, no characters
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def shown_name(name: str | os.PathLike[str]) -> str:
    """Return a text that can be printed, and written as UTF-8, on one line and in the order of its letters.

    Bytes that are no text, control characters, and those that turn the direction of writing become escapes.

    >>> shown_name("caf\\udce9.jpg"), shown_name("a\\nb")
    ('caf\\\\xe9.jpg', 'a\\\\nb')
    """
    return _NOT_SHOWN.sub(_escape, os.fspath(name))


def encodable_text(text: str) -> str:
    """Return a text that can be written as UTF-8: half characters and bytes that are no text become escapes, all else stays.

    >>> encodable_text("a\\udce9 b")
    'a\\\\xe9 b'
    """
    return _NO_TEXT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def user_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user wrote; a leading ~ is the home folder, as in a shell."""
    return Path(os.path.expanduser(text))


def can_be_path(text: str) -> bool:
    """Whether the operating system can be given a text as a path or a word of a command.

    >>> can_be_path("caf\\udce9"), can_be_path("a\\0b"), can_be_path("\\ud800")
    (True, False, False)
    """
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def user_name(text: str) -> str:
    """Return a name that a user wrote, of a file or of a scene or a shipped configuration; a leading ~ is the home folder."""
    return os.path.expanduser(text)


def cut_to_bytes(text: str, most: int) -> str:
    """Return the start of a text that takes at most so many bytes in a file name, no character cut in two."""
    return os.fsencode(text)[:most].decode("utf-8", "ignore")


def file_name_of(text: str, most: int = 120) -> str:
    """Return a file name for any text: two texts never share one, and none takes more than `most` bytes.

    Letters, digits and ``. _ + = -`` stay. A text that has other characters, is too long or could be taken for such a
    name ends in the first digits of its SHA-256.

    >>> file_name_of("cutouts_val"), file_name_of("folder:day 1") == file_name_of("folder:day_1")
    ('cutouts_val', False)
    """
    plain = re.sub(r"[^\w.+=-]+", "_", text)
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:_DIGEST_LENGTH]
    marked = re.fullmatch(rf".*-[0-9a-f]{{{_DIGEST_LENGTH}}}", plain) is not None
    whole = plain == text and len(os.fsencode(plain)) <= most
    if whole and not marked and plain.strip("."):
        return plain
    return f"{cut_to_bytes(plain, most - _DIGEST_LENGTH - 1)}-{digest}"
