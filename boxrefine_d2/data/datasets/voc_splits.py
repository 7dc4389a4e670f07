"""Loaders of VOC trees with several splits, or with classes other than VOC's."""

import logging
import os
from collections.abc import Sequence

from boxrefine_d2.errors import UserError

from ..records import LoadedDataset, Record
from .voc import VOC_CLASS_NAMES, classes_of_tree, load_voc, number_classes

# Watercolor2k and Comic2k (Inoue et al., arXiv:1803.11365); Clipart1k has all twenty of VOC.
SIX_CLASS_NAMES = ("bicycle", "bird", "car", "cat", "dog", "person")

logger = logging.getLogger(__name__)


def load_voc_dataset(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return one split of a VOC tree with VOC's twenty classes, or with the classes of the tree.

    If all classes of the split are among the twenty, the data set has these twenty. Otherwise its
    classes are the sorted classes of all annotations in the tree, and every such split of the tree
    numbers them alike. If some of them are VOC's, a warning lists the others, because one of them
    may be a typing error. VOC has no category ids; this loader numbers them from 1.

    Raises: UserError, as `load_voc`.
    """
    records = load_voc(root, split, class_names=None)
    used = {item["class_name"] for record in records for item in record["annotations"]}
    names: Sequence[str] = VOC_CLASS_NAMES
    if not used <= set(VOC_CLASS_NAMES):
        names = sorted(used.union(classes_of_tree(root, split)))
        foreign = [name for name in names if name not in VOC_CLASS_NAMES]
        if len(foreign) < len(names):
            logger.warning(
                "%s: %d of its %d classes are not VOC's (%s): the categories are the sorted "
                "classes of the tree",
                *(root, len(foreign), len(names), ", ".join(foreign[:5])),
            )
    number_classes(records, names, root)
    return _numbered_from_one(records, names)


def load_voc_splits(
    root: str | os.PathLike[str],
    splits: Sequence[str],
    class_names: Sequence[str] = VOC_CLASS_NAMES,
) -> LoadedDataset:
    """Return the concatenated records that `load_voc` returns for each split.

    Args:   class_names: class names; the position is the `category_id`. VOC has no category ids;
            this loader takes the position plus 1.
    Raises: UserError from `load_voc`, and for an image that is in two of the splits.
    """
    records = [record for split in splits for record in load_voc(root, split, class_names)]
    seen = set()
    for record in records:
        if record["image_id"] in seen:
            raise UserError(
                f"VOC tree {os.fspath(root)!r}: {record['image_id']!r} is in more than one of the "
                f"splits {', '.join(splits)}"
            )
        seen.add(record["image_id"])
    return _numbered_from_one(records, class_names)


def _numbered_from_one(records: list[Record], class_names: Sequence[str]) -> LoadedDataset:
    return LoadedDataset(records, list(class_names), list(range(1, len(class_names) + 1)))
