"""YOLO: one text file per image, with one line per box, beside data.yaml.

    data.yaml       root, image list and class names, as Ultralytics' trainers read them
    classes.txt     the class names, one per line
    images.txt      ./images/a/b.jpg, one line per image: put or link the data set's folder at
                    images/
    labels/a/b.txt  k cx cy w h: the class, counted from 0, and the box as fractions of the image's
                    width and height; empty for an image without boxes

The trainers find labels by a rule: they replace the last folder "images" of an image's path by
"labels". An image that has such a folder in its own name is therefore listed without another one:
train/images/b.jpg has its labels in train/labels/b.txt. The folders of such a data set belong
beside data.yaml. The format has no place for scores.
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import yaml

from .file_names import file_names
from .format import Export, Format
from .labelled_images import LabelledImage
from .per_image import write_per_image

_IMAGES, _LABELS = "images", "labels"
# suffixes that both YOLOv5 and its successors read
_READ_SUFFIXES = {".bmp", ".dng", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
_HEAD = """# Pseudo labels. {}
# "path" is where this file was written; change it when the folder moves.
"""
_PLACE = "Put or link the folder of the images at images/ beside this file."
_OWN_PLACE = (
    "Copy the folders of the data set into this one: images.txt says where each image belongs."
)

logger = logging.getLogger(__name__)


def write_yolo(export: Export, folder: Path) -> None:
    """Write the format; see `Writer`."""
    names = file_names(export.images, lambda path: label_path(image_path(path)))
    classes = {own: place for place, own in enumerate(export.categories)}
    write_per_image(folder, export.images, names, partial(_lines, classes))
    places = [image_path(PurePosixPath(image.file_name)) for image in export.images]
    _write_text(folder / "images.txt", "".join(f"./{place}\n" for place in places))
    passed_over = sum(place.suffix.lower() not in _READ_SUFFIXES for place in places)
    if passed_over:
        logger.warning(
            "%s: %d images have a suffix that YOLO's trainers ignore; convert them to JPEG or PNG",
            *(export.source, passed_over),
        )
    class_names = [*export.categories.values()]
    _write_text(folder / "classes.txt", "".join(f"{name}\n" for name in class_names))
    description = {
        "path": str(export.home),
        "train": "images.txt",
        "val": "images.txt",
        "nc": len(class_names),
        "names": class_names,
    }
    _write_text(
        folder / "data.yaml",
        _HEAD.format(_OWN_PLACE if any(map(_has_folder, export.images)) else _PLACE)
        + yaml.safe_dump(description, sort_keys=False, allow_unicode=True),
    )


def image_path(path: PurePosixPath) -> PurePosixPath:
    """Return the path of an image relative to data.yaml; it contains a folder "images".

    >>> str(image_path(PurePosixPath("a/b.jpg")))
    'images/a/b.jpg'
    >>> str(image_path(PurePosixPath("train/images/b.jpg")))
    'train/images/b.jpg'
    """
    return path if _IMAGES in path.parent.parts else PurePosixPath(_IMAGES, path)


def label_path(image: PurePosixPath) -> PurePosixPath:
    """Return the path at which the trainers look for an image's labels.

    Args: image: path that contains a folder "images".

    >>> str(label_path(PurePosixPath("images/train/images/b.c.jpg")))
    'images/train/labels/b.c.txt'
    """
    *folders, name = image.parts
    last = len(folders) - 1 - folders[::-1].index(_IMAGES)
    stem = name.rpartition(".")[0] if "." in name else name
    return PurePosixPath(*folders[:last], _LABELS, *folders[last + 1 :], f"{stem}.txt")


def _has_folder(image: LabelledImage) -> bool:
    return _IMAGES in PurePosixPath(image.file_name).parent.parts


def _lines(classes: Mapping[int, int], image: LabelledImage) -> bytes:
    lines = []
    for box in image.boxes:
        x1, y1, x2, y2 = box.xyxy
        cx, cy = (x1 + x2) / 2 / image.width, (y1 + y2) / 2 / image.height
        w, h = (x2 - x1) / image.width, (y2 - y1) / image.height
        lines.append(f"{classes[box.category_id]} {cx:.8f} {cy:.8f} {w:.8f} {h:.8f}\n")
    return "".join(lines).encode("ascii")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _holds_labels_only(folder: Path) -> bool:
    """Return True for a folder that holds label files only, such as train/ with train/labels/b.txt.

    A folder that also holds the images does not count.
    """
    entries = list(folder.rglob("*"))
    files = [path for path in entries if path.is_symlink() or not path.is_dir()]
    return bool(files) and all(
        not path.is_symlink()
        and path.suffix == ".txt"
        and _LABELS in path.relative_to(folder).parts
        for path in files
    )


YOLO = Format(
    write_yolo,
    frozenset({"data.yaml", "classes.txt", "images.txt", "labels"}),
    is_own=_holds_labels_only,
)
