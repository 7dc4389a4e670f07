"""Modifiers of a dataset spec that choose images by class: +one_class and +classes=A,B."""

import difflib
import logging
from collections.abc import Sequence
from dataclasses import replace

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import shown_name

from .image_labels import classes_of_objects
from .records import LoadedDataset, Record

MOST_LISTED = 20  # class names in a message

logger = logging.getLogger(__name__)


def one_class(dataset: LoadedDataset) -> LoadedDataset:
    """Return the images whose objects all have one class, which becomes their `image_label`.

    Crowds do not count. An image that has a label of its own keeps that label. The log counts the
    images that are left out: those without objects, and those with several classes.

    Raises: UserError for data without labelled objects, or if no image is left.
    """
    labelled = [record for record in dataset.records if "annotations" in record]
    if not labelled:
        raise UserError(
            "+one_class asks for the classes of labelled objects, and the data set has none; "
            "leave it out for data with a label per image, or name a labelled data set"
        )
    classes = [classes_of_objects(record) for record in labelled]
    records = [
        {"image_label": of_image[0], **record}
        for record, of_image in zip(labelled, classes, strict=True)
        if len(of_image) == 1
    ]
    several = sum(len(of_image) > 1 for of_image in classes)
    without = len(dataset.records) - len(records) - several
    counts = f"{without} without objects, {several} with objects of several classes"
    if not records:
        raise UserError(f"+one_class leaves none of {len(dataset.records)} images: {counts}")
    _report_left_out("+one_class", len(dataset.records), len(records), counts)
    return replace(dataset, records=records)


def with_classes(dataset: LoadedDataset, names: Sequence[str]) -> LoadedDataset:
    """Return the objects and the images of the named classes alone.

    The classes keep the order of the data set and are numbered anew from 0. Annotations of other
    classes are removed, crowds too. An image stays if its own label is one of the classes or if an
    object of them is left; crowds do not count. An image that stays for its objects alone loses its
    own label. The log counts the images that are left out.

    Raises: UserError for data without classes, for an unknown name (the message lists the known
            ones), or if no image is left.
    """
    _check_names(dataset, names)
    kept = [place for place, name in enumerate(dataset.category_names) if name in names]
    number = {place: index for index, place in enumerate(kept)}
    chosen = [_of_classes(record, number) for record in dataset.records]
    records = [record for record in chosen if "image_label" in record or classes_of_objects(record)]
    form = f"+classes={','.join(names)}"
    if not records:
        raise UserError(f"{form} leaves none of {len(dataset.records)} images")
    _report_left_out(form, len(dataset.records), len(records), "none of these classes")
    return replace(
        dataset,
        records=records,
        category_names=[dataset.category_names[place] for place in kept],
        category_ids=[dataset.category_ids[place] for place in kept],
    )


def _of_classes(record: Record, number: dict[int, int]) -> Record:
    record = dict(record)
    if record.get("image_label") in number:
        record["image_label"] = number[record["image_label"]]
    else:
        record.pop("image_label", None)
    if "annotations" in record:
        record["annotations"] = [
            {**item, "category_id": number[item["category_id"]]}
            for item in record["annotations"]
            if item["category_id"] in number
        ]
    return record


def _check_names(dataset: LoadedDataset, names: Sequence[str]) -> None:
    known = dataset.category_names
    if not known:
        raise UserError(
            f"+classes={','.join(names)} asks for classes, and the data set has none; "
            "name a labelled data set, or classes:DIR, a folder per class"
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"+classes: the data set has no class {shown_name(unknown[0])!r}; "
            f"{hint_of(unknown[0], known)}known: {listed_names(known)}"
        )


def hint_of(name: str, known: Sequence[str]) -> str:
    """Return "did you mean NAME? " for the most similar known name, or ""."""
    lower = {other.lower(): other for other in reversed(known)}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {shown_name(lower[close[0]])!r}? " if close else ""


def listed_names(names: Sequence[str]) -> str:
    """Return the names with commas; after the first ones, the number of the others."""
    more = len(names) - MOST_LISTED
    listed = ", ".join(map(shown_name, names[:MOST_LISTED]))
    return f"{listed} and {more} more" if more > 0 else listed


def _report_left_out(modifier: str, before: int, after: int, reasons: str) -> None:
    if after < before:
        logger.warning(
            "%s leaves out %d of %d images (%s)", modifier, before - after, before, reasons
        )
