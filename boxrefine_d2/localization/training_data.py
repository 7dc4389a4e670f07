"""Training images with a class: their classes, and those that are held out."""

from collections import Counter
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
_OF_MAP = "WEIGHT_MAP.HOLD_OUT"


def records_of(names: Sequence[str]) -> Records:
    """Return the records of data sets, in order."""
    return [record for name in names for record in DatasetCatalog.get(register_spec(name))]


def hold_out(
    records: Records, share: float, seed: int, key: str = _OF_MAP
) -> tuple[Records, Records]:
    """Return the records to learn from, and those that are held out, each in the order of the data.

    A share above 0 holds at least one image out. Each class keeps an image to learn from, and so do
    the images without a class.

    Args: key: the key of the share, for messages.
    Raises: UserError for a share above 0 if nothing can be held out.
    """
    if not share:
        return records, []
    labels = [known_label(record) for record in records]
    left = Counter(labels)
    held: set[int] = set()
    for place in np.random.default_rng([seed, len(records)]).permutation(len(records)).tolist():
        if len(held) < max(1, round(share * len(records))) and left[labels[place]] > 1:
            held.add(place)
            left[labels[place]] -= 1
    if not held:
        others = " and EARLY_STOP none" if key == _OF_MAP else ""
        raise UserError(
            f"{key} {share}: nothing can be held out of {len(records)} images, because each class "
            f"keeps one; add images, or set {key} 0{others}"
        )
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
        seen |= {label_of(record) for record in records_of([name])}
        names[name] = class_names(name)
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
    records, own = records_of([name]), class_names(name)
    if own != known and any(known_label(record) is not None for record in records):
        raise UserError(
            f"DATASETS.TEST {name} has the classes {listed_names(own)}, and the training data "
            f"{listed_names(known)}; name data with the same classes"
        )


def class_names(name: str) -> tuple[str, ...]:
    """Return the names of the classes of a data set; () if it has none."""
    registered = register_spec(name)
    metadata: Any = MetadataCatalog.get(registered)
    if not metadata.get("thing_classes"):
        DatasetCatalog.get(registered)  # some names are known only then
    return tuple(metadata.get("thing_classes") or ())
