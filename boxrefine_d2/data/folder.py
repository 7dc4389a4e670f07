"""A folder of pictures without labels."""

import logging
import os
from pathlib import Path

from boxrefine_d2.data.images import KNOWN_SUFFIXES, header_size
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError

logger = logging.getLogger(__name__)


def load_folder(folder: str | os.PathLike[str], limit: int | None = None) -> list[Record]:
    """Records of every picture below a folder, sorted by relative POSIX path, with image ids 1..n.

    A picture is a file with one of `KNOWN_SUFFIXES`, in any case. Hidden files and folders are left
    out. Links to folders are followed, each folder once. A picture whose header cannot be read is
    kept, with `height` and `width` None, so that the reader counts and reports it. There is no
    `annotations` key.

    Args:   limit: only the first so many; the headers of the others are not read.
    Raises: UserError if the folder does not exist, cannot be listed, or has no picture below it.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"image folder {str(root)!r} {what}")
    names, ignored = _picture_names(root)
    if not names:
        suffixes = " ".join(suffix.removeprefix(".") for suffix in KNOWN_SUFFIXES)
        raise UserError(
            f"no image in folder {str(root)!r} or below it; looked for {suffixes} ({ignored} other files, hidden ones not counted)"
        )
    logger.debug("%s: %d pictures, %d other files ignored", root, len(names), ignored)
    absolute = Path(os.path.abspath(root))
    records = []
    for image_id, name in enumerate(names[:limit], start=1):
        path = str(absolute / name)
        height, width = header_size(path)
        records.append(
            {
                "file_name": path,
                "relative_name": name,
                "image_id": image_id,
                "height": height,
                "width": width,
            }
        )
    return records


def _picture_names(root: Path) -> tuple[list[str], int]:
    """Relative POSIX paths of the pictures below `root`, sorted, and the number of visible files
    that are none."""
    names, ignored = [], 0
    # Real folders come before links, so that a folder reachable both ways goes by its own name.
    pending, seen = [""], set()
    links: list[str] = []
    while pending or links:
        below = pending.pop() if pending else links.pop(0)
        try:
            status = os.stat(root / below)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / below) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"cannot list folder {str(root / below)!r}: {error.strerror}"
            ) from error
        for entry in found:
            if entry.name.startswith("."):
                continue
            name = f"{below}/{entry.name}" if below else entry.name
            if os.path.isdir(
                entry.path
            ):  # not entry.is_dir(), which raises on a link that points to itself
                (links if entry.is_symlink() else pending).append(name)
            elif entry.name.lower().endswith(KNOWN_SUFFIXES):
                names.append(name)
            else:
                ignored += 1
    return sorted(names), ignored
