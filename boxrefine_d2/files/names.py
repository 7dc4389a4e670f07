"""Names of files: for people to read, and made from texts of any length."""

import hashlib
import os
import re
from pathlib import Path

MAX_NAME_BYTES = 255  # of one part of a path, on nearly every file system
_DIGEST_LENGTH = 10


def shown_name(name: str | os.PathLike[str]) -> str:
    """Return a name that can be printed and written as UTF-8: what is no text becomes an escape.

    >>> shown_name("caf\\udce9.jpg"), shown_name("\\ud800.jpg")
    ('caf\\\\xe9.jpg', '\\\\ud800.jpg')
    """
    text = os.fspath(name)
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as JSON may hold it
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def user_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user wrote; a leading ~ is the home folder, as in a shell."""
    return Path(os.path.expanduser(text))


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
