"""Loader of a folder per class, the layout `classes:DIR`.

DIR/CLASS/.../IMAGE       any nesting below a class folder
DIR/annotations.json      optional: a COCO file with boxes and masks of the images, by file_name
"""

import logging
import os
import unicodedata
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import encodable_text, shown_name
from boxrefine_d2.progress import with_progress

from ..class_modifiers import hint_of, listed_names
from ..images import header_size
from ..records import LoadedDataset, Record
from .coco import dataset_of_document, read_coco_document
from .folder import find_images, folder_record

LABELS_NAME = "annotations.json"

logger = logging.getLogger(__name__)


def load_class_folders(folder: str | os.PathLike[str], limit: int | None = None) -> LoadedDataset:
    """Return a record of every image below the class folders, with its class as `image_label`.

    The classes are the sorted names of the folders directly in DIR, numbered from 0. Images are
    found, sorted and numbered 1..n as by `load_folder`; a warning counts images that lie beside the
    class folders, which are left out. With `annotations.json`, the records have its boxes and masks
    and the sizes that it states. Its categories must be class folders. A warning counts the images
    that it does not list, which have no annotation, and its images that are not in the folders.

    Args:   limit: number of first images to return; the headers of the others are not read.
    Raises: UserError if the folder does not exist or has no image, for no class folder or only one,
            for a class folder without an image, for a damaged `annotations.json`, and for a
            category that is no class folder or a file_name that occurs twice.
    """
    root = Path(os.path.abspath(folder))
    names, others = find_images(root, labels=frozenset([LABELS_NAME]))
    beside = [name for name in names if "/" not in name]
    names = [name for name in names if "/" in name]
    folders = _class_folders(root, names)
    if beside:
        logger.warning(
            "%s: %d images are left out, because they lie beside the class folders, first %r; "
            "move each into the folder of its class",
            *(root, len(beside), shown_name(beside[0])),
        )
    number = {name: place for place, name in enumerate(folders)}
    labels = _read_labels(root, folders, names)
    records = []
    for image_id, name in enumerate(with_progress(names[:limit], "read headers"), start=1):
        labelled = labels.get(name) if labels is not None else None
        size = (labelled["height"], labelled["width"]) if labelled else header_size(root / name)
        record = folder_record(root, name, image_id, size)
        record["image_label"] = number[name.split("/", 1)[0]]
        if labels is not None:
            record["annotations"] = labelled["annotations"] if labelled else []
        records.append(record)
    class_names = [encodable_text(name) for name in folders]
    ids = list(range(1, len(folders) + 1))
    return LoadedDataset(records, class_names, ids, labelled=labels is not None, other_files=others)


def _class_folders(root: Path, names: list[str]) -> list[str]:
    """Return the sorted names of the class folders, each of which holds an image."""
    found = {name.split("/", 1)[0] for name in names}
    visible = {entry.name for entry in os.scandir(root) if not entry.name.startswith(".")}
    empty = sorted(name for name in visible - found if os.path.isdir(root / name))
    shown = f"classes:DIR needs a folder per class, and {str(root)!r}"
    if not found:
        where = f", only {len(empty)} folders without one" if empty else ""
        raise UserError(
            f"{shown} has no folder with images{where}; move the images of each class into a "
            "folder with the name of the class, or write folder:DIR for images without classes"
        )
    if empty:
        raise UserError(
            f"{shown} has {len(empty)} folders without an image: {listed_names(empty)}; add images "
            "or remove the folder"
        )
    if len(found) == 1:
        (only,) = found
        raise UserError(
            f"{shown} has one class alone, {shown_name(only)!r}; add the folder of a second class "
            "(images without the object, if you have no other), or write folder:DIR"
        )
    return sorted(found)


def _read_labels(root: Path, folders: list[str], names: list[str]) -> dict[str, Record] | None:
    """Return relative name -> record of `annotations.json`; None if there is no such file.

    The categories of the annotations are those of the class folders.
    """
    path = root / LABELS_NAME
    if not os.path.lexists(path):
        return None
    dataset = dataset_of_document(read_coco_document(path), path, root)
    if not dataset.labelled:
        return None
    places = {unicodedata.normalize("NFC", name): place for place, name in enumerate(folders)}
    numbers = {}
    for own, name in enumerate(dataset.category_names):
        place = places.get(unicodedata.normalize("NFC", name))
        if place is None:
            raise UserError(
                f"COCO file {str(path)!r} has the category {shown_name(name)!r}, and no class "
                f"folder has this name; {hint_of(name, folders)}there are: {listed_names(folders)}"
            )
        numbers[own] = place
    by_name: dict[str, Record] = {}
    for record in dataset.records:
        name = record["relative_name"]
        if name in by_name:
            raise UserError(
                f"COCO file {str(path)!r}: the images {by_name[name]['image_id']!r} and "
                f"{record['image_id']!r} have one file_name, {shown_name(name)!r}"
            )
        by_name[name] = record
        for item in record["annotations"]:
            item["category_id"] = numbers[item["category_id"]]
    _report_join(path, set(by_name), set(names))
    return by_name


def _report_join(path: Path, listed: set[str], present: set[str]) -> None:
    for strangers, problem in (
        (listed - present, "are not in the class folders and are left out"),
        (present - listed, "of the class folders are not listed and have no annotation"),
    ):
        if strangers:
            logger.warning(
                "%s: %d images %s, first %r",
                *(path, len(strangers), problem, shown_name(min(strangers))),
            )
