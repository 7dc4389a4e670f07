"""VOC trees as data sets: several splits taken as one, and class lists that are part of VOC's."""

import os
from collections.abc import Sequence

from boxrefine_d2.data.records import LoadedDataset
from boxrefine_d2.data.voc import VOC_CLASS_NAMES, load_voc
from boxrefine_d2.errors import UserError

# Watercolor2k and Comic2k (Inoue et al., arXiv:1803.11365); Clipart1k has all twenty of VOC.
SIX_CLASS_NAMES = ("bicycle", "bird", "car", "cat", "dog", "person")


def load_voc_splits(
    root: str | os.PathLike[str],
    splits: Sequence[str],
    class_names: Sequence[str] = VOC_CLASS_NAMES,
) -> LoadedDataset:
    """`load_voc` of each split, one after the other.

    Args:   class_names: of VOC's twenty; the position is the `category_id`, and the category's own
            id is one more, as VOC has none.
    Raises: UserError from `load_voc`, for an image that is in two of the splits, and for a class
            of VOC that `class_names` lacks.
    """
    records = [record for split in splits for record in load_voc(root, split)]
    names = [record["image_id"] for record in records]
    if len(set(names)) != len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise UserError(
            f"VOC tree {os.fspath(root)!r}: {twice!r} is in more than one of the splits {', '.join(splits)}"
        )
    for record in records:
        for annotation in record["annotations"]:
            class_name = VOC_CLASS_NAMES[annotation["category_id"]]
            if class_name not in class_names:
                raise UserError(
                    f"VOC tree {os.fspath(root)!r}: image {record['image_id']!r} has the class {class_name!r}, "
                    f"which is not one of {', '.join(class_names)}"
                )
            annotation["category_id"] = class_names.index(class_name)
    return LoadedDataset(records, list(class_names), list(range(1, len(class_names) + 1)))
