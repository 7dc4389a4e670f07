"""Loader of COCO20k, a subset of COCO train2014 with 19 817 images.

Unsupervised object discovery is evaluated on it (LOST, arXiv:2109.14279).
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_text

from ..records import LoadedDataset
from .coco import load_coco

LIST_NAME = "coco20k.txt"
# LOST and TokenCut ship the same list, byte for byte.
LIST_LENGTH = 19817
LIST_MD5 = "133cea5ffcea93dccbaeb62c38b24e7c"


def load_coco20k(coco_root: str | os.PathLike[str]) -> LoadedDataset:
    """Return the records of COCO20k by ascending image id, with all their annotations.

    The published protocol drops crowd annotations and rounds ground-truth coordinates to integers,
    ties to even. The evaluator does both. Therefore the records contain crowd annotations with
    `iscrowd` 1, the boxes are not rounded, and `corloc_rounds_boxes` is set.

    Args:   coco_root: folder with `coco20k.txt` (lines
            "train2014/COCO_train2014_000000123456.jpg"), `train2014` and
            `annotations/instances_train2014.json`.
    Raises: UserError for a missing file or folder, a list that is not the published one, or a
            listed image without an entry.
    """
    root = Path(coco_root)
    names = _read_list(root / LIST_NAME)
    dataset = load_coco(root / "annotations" / "instances_train2014.json", root / "train2014")
    wanted = {name.removeprefix("train2014/") for name in names}
    records = [record for record in dataset.records if record["relative_name"] in wanted]
    if len(records) != len(wanted):
        missing = sorted(wanted - {record["relative_name"] for record in records})
        raise UserError(
            f"{len(missing)} of the {len(wanted)} images of COCO20k are not in "
            f"{str(root / 'annotations' / 'instances_train2014.json')!r}, first {missing[0]!r}"
        )
    for record in records:
        record["relative_name"] = f"train2014/{record['relative_name']}"
    return replace(dataset, records=records, corloc_rounds_boxes=True)


def _read_list(path: Path) -> list[str]:
    if not os.path.lexists(path):
        raise UserError(
            f"the list of COCO20k, {str(path)!r}, does not exist; "
            "it is datasets/coco_20k_filenames.txt of the LOST repository"
        )
    text = read_text(path, "list of COCO20k")  # line ends stay as in the original
    names = text.split()
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    if len(names) != LIST_LENGTH or digest != LIST_MD5:
        raise UserError(
            f"{str(path)!r} is not the list of COCO20k: {len(names)} lines, md5 {digest}, "
            f"expected {LIST_LENGTH} lines, md5 {LIST_MD5}; for other subsets use coco:JSON:DIR"
        )
    return names
