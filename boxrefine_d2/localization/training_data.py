"""Training images with a class: their classes, and those that are held out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from boxrefine_d2.data.class_modifiers import listed_names
from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.image_labels import known_label, label_of
from boxrefine_d2.errors import UserError

Records = list[dict[str, Any]]


def records_of(names: Sequence[str]) -> Records:
    """Return the records of data sets, in order."""
    return [record for name in names for record in DatasetCatalog.get(register_spec(name))]


def hold_out(records: Records, share: float, seed: int) -> tuple[Records, Records]:
    """Return the records to learn from, and those that are held out, each in the order of the data.

    A share above 0 holds at least one image out, and leaves at least one to learn from.

    Raises: UserError for a share above 0 of fewer than two images.
    """
    if not share:
        return records, []
    if len(records) < 2:
        raise UserError(
            f"WEIGHT_MAP.HOLD_OUT {share}: nothing can be held out of {len(records)} image; add "
            "images, name WEIGHT_MAP.VALIDATION, or set WEIGHT_MAP.HOLD_OUT 0 and EARLY_STOP none"
        )
    count = min(max(1, round(share * len(records))), len(records) - 1)
    order = np.random.default_rng([seed, len(records)]).permutation(len(records))
    held = set(order[:count].tolist())
    parts: tuple[Records, Records] = ([], [])
    for place, record in enumerate(records):
        parts[place in held].append(record)
    return parts


def classes_of_training(cfg: CfgNode) -> tuple[str, ...]:
    """Return the names of the classes of DATASETS.TRAIN.

    Raises: UserError for data without classes, data sets of different classes, fewer than two
        classes among the images, or labelled test images of other classes.
    """
    names: dict[str, tuple[str, ...]] = {}
    seen: set[int] = set()
    for name in cfg.DATASETS.TRAIN:
        registered = register_spec(name)
        seen |= {label_of(record) for record in DatasetCatalog.get(registered)}
        names[name] = class_names(registered)
    if len(set(names.values())) > 1:
        listed = "; ".join(f"{name} has {listed_names(each)}" for name, each in names.items())
        raise UserError(f"DATASETS.TRAIN: the data sets have different classes: {listed}")
    if len(seen) < 2:
        raise UserError(
            f"DATASETS.TRAIN {tuple(cfg.DATASETS.TRAIN)}: all images have one class, and a "
            "classifier needs two or more; add images of another class"
        )
    known = next(iter(names.values()))
    for name in cfg.DATASETS.TEST:
        _check_test_classes(name, known)
    return known


def _check_test_classes(name: str, known: tuple[str, ...]) -> None:
    registered = register_spec(name)
    records, own = DatasetCatalog.get(registered), class_names(registered)
    if own != known and any(known_label(record) is not None for record in records):
        raise UserError(
            f"DATASETS.TEST {name} has the classes {listed_names(own)}, and the training data "
            f"{listed_names(known)}; name data with the same classes"
        )


def class_names(registered: str) -> tuple[str, ...]:
    """Return the names of the classes of a data set that was loaded."""
    found: Any = MetadataCatalog.get(registered).get("thing_classes", [])
    return tuple(found)
