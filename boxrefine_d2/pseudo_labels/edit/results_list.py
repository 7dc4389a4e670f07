"""A COCO results list, read as a file of labels of another file's images."""

import hashlib
import os
from pathlib import Path
from typing import Any

from boxrefine_d2.data.pseudo_categories import OBJECT_CATEGORIES, OBJECT_ID
from boxrefine_d2.data.pseudo_label_checks import label_problem
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, read_json
from boxrefine_d2.files.values import is_id, shown_value

from .label_file import Entry, LabelFile, in_order, open_label_file

_KIND = "COCO results list"


def open_labels_or_results(path: str | os.PathLike[str], images_of: LabelFile) -> LabelFile:
    """Read a pseudo-label file, or a COCO results list of another file's images.

    A results list names no images: an image without a result has no labels. Categories are ignored.
    The list is read whole.

    Args: images_of: file with the images. An image that it lacks gets an empty file name.
    Raises: UserError, in one line, for a file that is neither, and for a list that names none of
        the images.
    """
    source = Path(path)
    check_regular_file(source, "pseudo-label file")
    with source.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start.startswith(b"["):
            return open_label_file(source)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    labels = [_label(entry, source) for entry in read_json(source, _KIND)]
    images = {image["id"]: image for image in images_of.images()}
    if labels and not any(label["image_id"] in images for label in labels):
        raise UserError(
            f"{_KIND} {str(source)!r} is about other images than {images_of}: its first result is "
            f"of image {labels[0]['image_id']!r}; make both from one data set"
        )
    for label in labels:
        images.setdefault(label["image_id"], {"id": label["image_id"], "file_name": ""})
    whole = in_order(PseudoLabels([*images.values()], labels, {}))
    masks = sum(bool(label.get("segmentation")) for label in labels)
    categories = OBJECT_CATEGORIES
    return LabelFile(source, sha256, {}, categories, len(images), len(labels), masks, whole)


def _label(entry: Any, source: Path) -> Entry:
    """Return an item of the list as a label. Raises: UserError for an invalid one."""
    if not isinstance(entry, dict) or not is_id(entry.get("image_id")):
        raise UserError(
            f"{_KIND} {str(source)!r} holds {shown_value(entry)}; each item must be an object with "
            "image_id, bbox and score"
        )
    label = entry | {"category_id": OBJECT_ID}
    problem = label_problem(label, {entry["image_id"]})
    if problem:
        raise UserError(
            f"{_KIND} {str(source)!r}: a result of image {entry['image_id']!r} {problem}"
        )
    return label
