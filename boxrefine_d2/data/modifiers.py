"""Modifiers of a dataset spec, each a function that returns a new data set.

The modifiers are +agnostic, +first=N, +every=N, +not_every=N, +overlapping, +separate and
+pseudo=FILE. `class_modifiers` has those that choose by class.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import NameCheck
from boxrefine_d2.files.values import known_size
from boxrefine_d2.structures.overlap import overlaps_another

from .images import header_or_none
from .pseudo_categories import OBJECT_ID, OBJECT_NAME
from .pseudo_label_file import PseudoLabels, read_pseudo_labels, to_detectron2
from .records import LoadedDataset, Record

logger = logging.getLogger(__name__)


def agnostic(dataset: LoadedDataset) -> LoadedDataset:
    """Replace every category, of objects and of images, by the one category "object"."""
    records = []
    for record in dataset.records:
        if "annotations" in record:
            record = {
                **record,
                "annotations": [{**item, "category_id": 0} for item in record["annotations"]],
            }
        if "image_label" in record:
            record = {**record, "image_label": 0}
        records.append(record)
    return replace(dataset, records=records, category_names=[OBJECT_NAME], category_ids=[OBJECT_ID])


def first(dataset: LoadedDataset, count: int) -> LoadedDataset:
    """Return the first `count` images, or all if there are fewer."""
    return replace(dataset, records=dataset.records[:count])


def every(dataset: LoadedDataset, step: int) -> LoadedDataset:
    """Return every `step`th image, starting with the first.

    +every=100 keeps 1 % of the images, a fair sample if their order carries no meaning.
    """
    return replace(dataset, records=dataset.records[::step])


def not_every(dataset: LoadedDataset, step: int) -> LoadedDataset:
    """Return the images that `every` leaves out.

    The two parts share no image. A training can use one part and evaluate on the other.

    Raises: UserError if no image is left.
    """
    records = [record for place, record in enumerate(dataset.records) if place % step]
    if not records:
        raise UserError(f"+not_every={step} leaves none of {len(dataset.records)} images")
    return replace(dataset, records=records)


def overlapping(dataset: LoadedDataset) -> LoadedDataset:
    """Return the images in which any two boxes share some area. Crowds do not count.

    Raises: UserError for data without labels, or if no image is left.
    """
    return _part(dataset, "overlapping", overlap=True)


def separate(dataset: LoadedDataset) -> LoadedDataset:
    """Return the labelled images that `overlapping` leaves out.

    Images with one object or none are among them.

    Raises: UserError for data without labels, or if no image is left.
    """
    return _part(dataset, "separate", overlap=False)


def _part(dataset: LoadedDataset, name: str, *, overlap: bool) -> LoadedDataset:
    labelled = [record for record in dataset.records if "annotations" in record]
    if not labelled:
        raise UserError(
            f"+{name} asks which labelled boxes overlap, and the data set has no labels; "
            "put +pseudo=FILE before it, or name a labelled data set"
        )
    records = [record for record in labelled if _boxes_overlap(record) == overlap]
    if not records:
        quantity = "none" if overlap else "each"
        raise UserError(
            f"+{name} leaves no image: in {quantity} of the {len(labelled)} labelled images "
            "two boxes overlap"
        )
    return replace(dataset, records=records)


def _boxes_overlap(record: Record) -> bool:
    kept = [item["bbox"] for item in record["annotations"] if not item.get("iscrowd", 0)]
    return bool(overlaps_another(np.array(kept, dtype=np.float64).reshape(-1, 4)).any())


def with_pseudo_labels(dataset: LoadedDataset, path: str | os.PathLike[str]) -> LoadedDataset:
    """Return the images of `dataset` with the boxes of a pseudo-label file as their only labels.

    The categories are those of the file: "object", or the classes of its images.

    An image without pseudo labels gets an empty list, and no image keeps its `image_label`. A
    warning counts the images that the file does not list. If the file states the size of an image,
    the record takes that size, because it is the frame of the file's boxes.

    Raises: UserError for a file that is not a pseudo-label file, or that was made from other
            images: `dataset` lacks one of its ids, or has another file name for an id.
    """
    labels = read_pseudo_labels(path)
    _check_same_images(dataset.records, labels, os.fspath(path))
    by_image: dict[int | str, list[Record]] = {record["image_id"]: [] for record in dataset.records}
    names = {category["id"]: category["name"] for category in labels.categories}
    number = {own: place for place, own in enumerate(names)}
    for annotation in labels.annotations:
        category = number.get(annotation.get("category_id"), 0)
        by_image[annotation["image_id"]].append(to_detectron2(annotation, category))
    sizes = {image["id"]: _size(image) for image in labels.images}
    records = []
    for record in dataset.records:
        image_id = record["image_id"]
        # If the header cannot be read, the size stays unknown, and the reader reports the image.
        readable = record["height"] or header_or_none(record["file_name"])
        size = sizes.get(image_id, {}) if readable else {}
        kept = {key: value for key, value in record.items() if key != "image_label"}
        records.append({**kept, **size, "annotations": by_image[image_id]})
    return LoadedDataset(records, [*names.values()], [*names], other_files=dataset.other_files)


def _size(image: dict[str, Any]) -> dict[str, int]:
    """Return height and width in pixels, or {} if the file does not state both."""
    sides = known_size(image)
    return {"height": sides[0], "width": sides[1]} if sides else {}


def _check_same_images(records: list[Record], labels: PseudoLabels, path: str) -> None:
    known = {record["image_id"]: record for record in records}
    strangers = [image for image in labels.images if image["id"] not in known]
    if strangers:
        raise UserError(
            f"{len(strangers)} of the {len(labels.images)} images in pseudo-label file {path!r} "
            f"are not in the data set: ids {_examples(image['id'] for image in strangers)}, "
            f"while the data set has {len(records)} images with ids {_examples(known)}; "
            "was it made from another data set, or should +first come after +pseudo?"
        )
    names = NameCheck(f"pseudo-label file {path!r}", "the data set")
    for image in labels.images:
        names.add(image["id"], image["file_name"], known[image["id"]]["relative_name"])
    for warning in names.finish(record["relative_name"] for record in records):
        logger.warning(warning)
    unlisted = len(known) - len(labels.images)
    if unlisted:
        logger.warning(
            "%s: %d of the %d images are not listed and get no box", path, unlisted, len(known)
        )


def _examples(ids: Iterable[int | str]) -> str:
    shown = list(ids)
    return ", ".join(map(repr, shown[:3])) + (", ..." if len(shown) > 3 else "")
