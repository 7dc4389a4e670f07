"""Names of files: forms that people can read, and names for texts of any length."""

import hashlib
import os
import re
from pathlib import Path

MAX_NAME_BYTES = 255  # one part of a path, on nearly every file system
_DIGEST_LENGTH = 10
_NO_TEXT = re.compile("[\ud800-\udfff]")  # surrogates; Python keeps undecodable bytes as these
# surrogates, controls, line and paragraph separators, marks of writing direction, non-characters
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def shown_name(name: str | os.PathLike[str]) -> str:
    """Return a name as text that can be printed, and written as UTF-8, on one line.

    Undecodable bytes, control characters, and marks of writing direction become escapes. The
    letters are shown in their real order.

    >>> shown_name("caf\\udce9.jpg"), shown_name("a\\nb")
    ('caf\\\\xe9.jpg', 'a\\\\nb')
    """
    return _NOT_SHOWN.sub(_escape, os.fspath(name))


def encodable_text(text: str) -> str:
    """Return a text that can be written as UTF-8; surrogates and undecodable bytes become escapes.

    >>> encodable_text("a\\udce9 b")
    'a\\\\xe9 b'
    """
    return _NO_TEXT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if "\udc80" <= character <= "\udcff":  # Python's form of an undecodable byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def user_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user wrote; a leading ~ is the home folder, as in a shell."""
    return Path(os.path.expanduser(text))


def can_be_path(text: str) -> bool:
    """Return whether the operating system accepts a text as a path or a word of a command.

    >>> can_be_path("caf\\udce9"), can_be_path("a\\0b"), can_be_path("\\ud800")
    (True, False, False)
    """
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def user_name(text: str) -> str:
    """Return a name that a user wrote; a leading ~ is the home folder.

    The name may be that of a file, a scene or a shipped configuration.
    """
    return os.path.expanduser(text)


def cut_to_bytes(text: str, most: int) -> str:
    """Return the longest start of a text that takes at most `most` bytes in a file name.

    No character is cut in two.
    """
    return os.fsencode(text)[:most].decode("utf-8", "ignore")


def file_name_of(text: str, most: int = 120) -> str:
    """Return a file name of at most `most` bytes for a text; two texts never share a name.

    Letters, digits and ``. _ + = -`` stay. The name ends in the first digits of the text's SHA-256
    if the text has other characters, is too long, or looks like a name with such an end.
    >>> file_name_of("cutouts_val"), file_name_of("folder:day 1") == file_name_of("folder:day_1")
    ('cutouts_val', False)
    """
    plain = re.sub(r"[^\w.+=-]+", "_", text)
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:_DIGEST_LENGTH]
    looks_hashed = re.fullmatch(rf".*-[0-9a-f]{{{_DIGEST_LENGTH}}}", plain) is not None
    whole = plain == text and len(os.fsencode(plain)) <= most
    if whole and not looks_hashed and plain.strip("."):
        return plain
    return f"{cut_to_bytes(plain, most - _DIGEST_LENGTH - 1)}-{digest}"
