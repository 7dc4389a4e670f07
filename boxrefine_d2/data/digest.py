"""Digest of the images of a data set, by which a run notices that they changed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from .records import Record


def images_sha256(records: Sequence[Record]) -> str:
    """Return the SHA-256 over ids, names, sizes in pixels and bytes, and classes of the images."""
    named = [
        [
            *(r["image_id"], r["relative_name"], r["height"], r["width"], _bytes_of(r)),
            *([r["image_label"]] if "image_label" in r else []),
        ]
        for r in records
    ]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _bytes_of(record: Record) -> int:
    """Return the size of an image's file in bytes; 0 if it is rendered or cannot be read.

    A changed image rarely keeps it, and reading it costs less than a digest of every file.
    """
    path = Path(record["file_name"])
    return path.stat().st_size if path.is_file() else 0
