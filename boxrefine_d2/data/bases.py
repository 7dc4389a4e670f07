"""What a dataset spec starts with: the loaders behind scenes:, folder:, coco:, voc: and the
registered names."""

import os
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from boxrefine_d2.data.coco import load_coco
from boxrefine_d2.data.folder import load_folder
from boxrefine_d2.data.images import SCENES_PREFIX
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.data.registered import NAMED_DATASETS, load_named
from boxrefine_d2.data.voc_splits import load_voc_dataset
from boxrefine_d2.errors import UserError

BASE_FORMS = {
    "scenes": "scenes:SPLIT",
    "folder": "folder:DIR",
    "coco": "coco:JSON:DIR",
    "voc": "voc:ROOT:SPLIT",
}
NAMED = "name"  # the kind of a base that is one registered name


def load_base(kind: str, arguments: tuple[str, ...], limit: int | None = None) -> LoadedDataset:
    """The data set of a base, before any modifier.

    Args:   kind: a key of `BASE_FORMS`, or `NAMED`.  arguments: what follows it, unescaped.
            limit: no more than so many images are needed; a loader that can spare itself work
            returns the first so many.
    Raises: UserError from the loaders.
    """
    if kind == "scenes":
        return _load_scenes(arguments[0], limit)
    if kind == "folder":
        return load_folder(arguments[0], limit)
    if kind == "coco":
        return load_coco(*arguments)
    if kind == "voc":
        return load_voc_dataset(*arguments)
    (name,) = arguments
    return load_named(name) if name in NAMED_DATASETS else _load_from_catalog(name)


def _load_scenes(split: str, limit: int | None) -> LoadedDataset:
    from boxrefine_d2.data.scenes import load_scenes  # here, because its module is not small

    records, names = load_scenes(split, limit)
    for record in records:
        record["relative_name"] = record["file_name"].removeprefix(SCENES_PREFIX)
    return LoadedDataset(records, list(names), list(range(1, len(names) + 1)))


def _load_from_catalog(name: str) -> LoadedDataset:
    """A data set that the user's code, or Detectron2, registered; boxes of any mode become XYXY."""
    metadata = MetadataCatalog.get(name)
    try:
        source = DatasetCatalog.get(name)
    except OSError as error:
        raise UserError(
            f"data set {name!r}, registered with Detectron2, cannot be loaded: {error}"
        ) from error
    if not source:
        raise UserError(f"data set {name!r}, registered with Detectron2, has no image")
    root = metadata.get("image_root") or metadata.get("dirname")
    folder = _common_folder([record["file_name"] for record in source], root)
    records = [_converted(record, folder) for record in source]
    labelled = any("annotations" in record for record in records)
    names = list(metadata.get("thing_classes") or [])
    if not names:
        used = [item["category_id"] for record in records for item in record.get("annotations", [])]
        names = [f"category {index}" for index in range(max(used, default=-1) + 1)]
    ids = {
        index: own
        for own, index in (metadata.get("thing_dataset_id_to_contiguous_id") or {}).items()
    }
    return LoadedDataset(records, names, [ids.get(i, i + 1) for i in range(len(names))], labelled)


def _common_folder(file_names: list[str], root: str | None) -> str:
    """`root` if every file is below it, else the deepest folder that holds all of them."""
    paths = [os.path.abspath(name) for name in file_names]
    if root is not None:
        above = os.path.join(os.path.abspath(root), "")
        if all(path.startswith(above) for path in paths):
            return above
    return os.path.commonpath([os.path.dirname(path) for path in paths])


def _converted(record: Record, folder: str) -> Record:
    relative = os.path.relpath(os.path.abspath(record["file_name"]), folder)
    converted = {"relative_name": Path(relative).as_posix(), **record}
    if "annotations" in record:
        converted["annotations"] = [_xyxy(annotation) for annotation in record["annotations"]]
    return converted


def _xyxy(annotation: dict[str, Any]) -> dict[str, Any]:
    box = BoxMode.convert(
        list(annotation["bbox"]), BoxMode(annotation["bbox_mode"]), BoxMode.XYXY_ABS
    )
    plain = [float(number) for number in box]
    return {"iscrowd": 0, **annotation, "bbox": plain, "bbox_mode": BoxMode.XYXY_ABS}
