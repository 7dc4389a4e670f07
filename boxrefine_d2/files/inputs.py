"""Files from outside: each is checked before it is read, and refused with the true reason.

A pipe or a device is never opened, because reading it may never end. The size of a file is checked
before memory is taken for it.
"""

import codecs
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError

FilePath = str | os.PathLike[str]

MAX_TEXT_BYTES = 2 * 2**30  # of a file that is read into memory as a whole
_HEAD_BYTES = 512


def check_regular_file(path: FilePath, kind: str, max_bytes: int | None = None) -> int:
    """Return the size of a regular file in bytes, without reading it.

    Args:
        path: the file.
        kind: name of the kind of file, for messages ("COCO file").
        max_bytes: largest size accepted; None accepts any.
    Raises: UserError for a path that does not exist, is a folder, a pipe, a socket or a device, or
        holds more bytes.
    """
    shown = f"{kind} {os.fspath(path)!r}"
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise UserError(f"{shown} does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(
            f"cannot read {shown}: {getattr(error, 'strerror', None) or error}"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{shown} is a folder; name a file")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{shown} is a pipe or a device; name a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise UserError(
            f"{shown} has {_shown_size(status.st_size)}; at most {_shown_size(max_bytes)} are read"
        )
    return status.st_size


def _shown_size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"


def read_text(path: FilePath, kind: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file without its byte order mark, with line ends as "\\n".

    Raises: UserError for a file that `check_regular_file` refuses, that cannot be read, or that is
        no UTF-8 text.
    """
    check_regular_file(path, kind, max_bytes)
    try:
        return Path(path).read_text(encoding=text_encoding(path))
    except OSError as error:
        raise UserError(f"cannot read {kind} {os.fspath(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{kind} {os.fspath(path)!r} is no UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def read_lines(path: FilePath, kind: str) -> list[str]:
    """Return the lines of a text file that are not empty, without blanks at their ends.

    Raises: UserError, as `read_text`.
    """
    # str.splitlines would also split at characters that a file name may hold
    return [line.strip() for line in read_text(path, kind).split("\n") if line.strip()]


def text_encoding(path: FilePath) -> str:
    """Return the encoding of a file's byte order mark, or UTF-8 without one. Raises: OSError."""
    with open(path, "rb") as file:
        head = file.read(2)
    return "utf-16" if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def read_json(path: FilePath, kind: str) -> Any:
    """Return the content of a JSON file.

    Raises: UserError for a file that `read_text` refuses, for text that is no JSON (with its real
        kind if that is known), for numbers of too many digits, and for parts nested too deep.
    """
    text, shown = read_text(path, kind), f"{kind} {os.fspath(path)!r}"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise UserError(f"{shown} is empty") from error
        instead = text_stand_in(text[:_HEAD_BYTES].encode(errors="replace"))
        if instead:
            raise UserError(f"{shown} is {instead}") from error
        raise UserError(f"{shown} is not JSON: {error}; was it cut short?") from error
    except ValueError as error:
        digits = sys.get_int_max_str_digits()
        raise UserError(f"{shown} has an integer of more than {digits} digits") from error
    except RecursionError as error:
        raise UserError(f"{shown} has lists or objects that are nested too deep") from error


def text_stand_in(head: bytes) -> str | None:
    """Name the kind of a file that replaces the expected one; None if it is not recognised.

    It recognises a git-lfs pointer and an HTML page.

    >>> text_stand_in(b"<!DOCTYPE html><title>Sign in</title>")
    'an HTML page (a login page?), not the file itself; fetch it anew'

    Args: head: the first bytes of the file.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself; run `git lfs pull` where it came from"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a login page?), not the file itself; fetch it anew"
    return None
