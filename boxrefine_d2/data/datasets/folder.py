"""Loader of a folder of images without labels."""

import logging
import os
from collections import Counter
from pathlib import Path, PurePath

from detectron2.utils.logger import log_first_n

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import progress_bar, with_progress

from ..images import HEIC_REMEDY, HEIC_SUFFIXES, header_size, image_suffixes, is_image_name
from ..records import LoadedDataset, Record

NO_SUFFIX = "no suffix"


def load_folder(folder: str | os.PathLike[str], limit: int | None = None) -> LoadedDataset:
    """Return a record of every image below a folder, sorted by relative POSIX path, with ids 1..n.

    `is_image_name` decides which files are images. Hidden files and folders are left out. Links to
    folders are followed; each folder is searched once. An image whose header cannot be read is kept
    with `height` and `width` None, and the reader counts and reports it. `other_files` and one
    warning count the other files by suffix. The records have no `annotations` key.

    Args:   limit: number of first images to return; the headers of the others are not read.
    Raises: UserError if the folder does not exist, cannot be listed, or has no image below it.
    """
    names, others = find_images(Path(folder))
    absolute = Path(os.path.abspath(folder))
    chosen = with_progress(names[:limit], "read headers")
    records = [
        folder_record(absolute, name, image_id, header_size(absolute / name))
        for image_id, name in enumerate(chosen, start=1)
    ]
    return LoadedDataset(records, [], [], labelled=False, other_files=others)


def find_images(
    root: Path, *, labels: frozenset[str] = frozenset()
) -> tuple[list[str], dict[str, int]]:
    """Return the sorted relative POSIX paths of the images that `load_folder` finds.

    Args:    labels: relative paths of files that the caller reads; they are not counted.
    Returns: the paths, and the number of other files by suffix, which one warning reports.
    Raises:  UserError, as `load_folder`.
    """
    if not os.path.isdir(root):  # unlike Path.is_dir, it does not raise if the name is too long
        problem = "is a file, not a folder" if os.path.exists(root) else "does not exist"
        raise UserError(f"image folder {str(root)!r} {problem}")
    names, others = _image_names(root, labels)
    if not names:
        suffixes = " ".join(sorted(suffix.removeprefix(".") for suffix in image_suffixes()))
        raise UserError(
            f"no image in folder {str(root)!r} or below it; looked for {suffixes} "
            f"({others.total()} other files, hidden ones not counted{_by_suffix(others)})"
        )
    if others:
        message = f"{root}: {others.total()} other files are not read as images{_by_suffix(others)}"
        log_first_n(logging.WARNING, message, key="message")
    return names, dict(others.most_common())


def folder_record(
    root: Path, name: str, image_id: int, size: tuple[int | None, int | None]
) -> Record:
    """Return the record of an image without labels.

    Args: root: absolute path of the data set's folder.  name: relative POSIX path.
          size: (H, W) in pixels.
    """
    height, width = size
    return {
        "file_name": str(root / name),
        "relative_name": name,
        "image_id": image_id,
        "height": height,
        "width": width,
    }


def _by_suffix(others: Counter[str]) -> str:
    """Return counts such as ": 3 .heic, 1 .txt", or "" if there are no other files.

    For HEIC files the text ends with the remedy.
    """
    if not others:
        return ""
    counts = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
    lacks_heic = set(HEIC_SUFFIXES) & set(others)
    return f": {counts}" + (f"; {HEIC_REMEDY}" if lacks_heic else "")


def _image_names(root: Path, labels: frozenset[str]) -> tuple[list[str], Counter[str]]:
    """Return the sorted relative POSIX paths of the images below `root`, and the other files.

    The other files are the visible files that are not images, counted by suffix.
    """
    names: list[str] = []
    others: Counter[str] = Counter()
    # Real folders are searched before links. A folder reachable both ways keeps its real name.
    pending, seen = [""], set()
    links: list[str] = []
    with progress_bar("search", unit="files") as bar:
        while pending or links:
            below = pending.pop() if pending else links.pop(0)
            try:
                status = os.stat(root / below)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(root / below) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                raise UserError(
                    f"cannot list folder {str(root / below)!r}: {error.strerror}"
                ) from error
            for entry in listed:
                if entry.name.startswith("."):
                    continue
                bar.update()
                name = f"{below}/{entry.name}" if below else entry.name
                # entry.is_dir() would raise on a link that points to itself.
                if os.path.isdir(entry.path):
                    (links if entry.is_symlink() else pending).append(name)
                elif is_image_name(entry.path):
                    names.append(name)
                elif name not in labels:
                    others[PurePath(entry.name).suffix.lower() or NO_SUFFIX] += 1
    return sorted(names), others
