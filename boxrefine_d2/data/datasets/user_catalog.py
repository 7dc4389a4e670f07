"""Loader of data sets that the user's code or Detectron2 registered in the DatasetCatalog."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import MAX_COORDINATE, is_number, shown_value, size_problem
from boxrefine_d2.progress import with_progress

from ..images import header_size
from ..records import LoadedDataset, Record


def load_user_catalog(name: str) -> LoadedDataset:
    """Return a data set of the DatasetCatalog.

    The records are copies; those of the catalog stay unchanged. Boxes of any mode become XYXY. If a
    record lacks a size, the header of its image provides it. If it lacks an `image_id`, the
    position of the record, counted from 1, takes its place.

    Raises: UserError for a catalog function that finds no file or returns no image, and for a
        record without a file name, with an invalid size, or with an annotation without box, mode
        or category.
    """
    metadata = MetadataCatalog.get(name)
    try:
        source = DatasetCatalog.get(name)
    except OSError as error:
        raise UserError(f"{_shown_name(name)} cannot be loaded: {error}") from error
    if not source:
        raise UserError(f"{_shown_name(name)} has no image")
    for record in source:
        if not isinstance(record, dict) or not record.get("file_name"):
            raise UserError(
                f"{_shown_name(name)} has a record without a file_name: {shown_value(record)}"
            )
    root = metadata.get("image_root") or metadata.get("dirname")
    folder = _common_folder([os.fspath(record["file_name"]) for record in source], root)
    records = [
        _converted({"image_id": position, **record}, folder, name)
        for position, record in enumerate(with_progress(source, "read headers"), start=1)
    ]
    labelled = any("annotations" in record for record in records)
    names = list(metadata.get("thing_classes") or [])
    if not names:
        used = [item["category_id"] for record in records for item in record.get("annotations", [])]
        names = [f"category {index}" for index in range(max(used, default=-1) + 1)]
    ids = {
        index: own
        for own, index in (metadata.get("thing_dataset_id_to_contiguous_id") or {}).items()
    }
    return LoadedDataset(
        records,
        names,
        [ids.get(i, i + 1) for i in range(len(names))],
        labelled,
        corloc_rounds_boxes=metadata.get("corloc_rounds_boxes", False),
    )


def _shown_name(name: str) -> str:
    return f"data set {name!r}, registered with Detectron2,"


def _common_folder(file_names: list[str], root: str | None) -> str:
    """Return `root` if every file is below it, otherwise the deepest folder with all files."""
    paths = [os.path.abspath(name) for name in file_names]
    if root is not None:
        above = os.path.join(os.path.abspath(root), "")
        if all(path.startswith(above) for path in paths):
            return above
    return os.path.commonpath([os.path.dirname(path) for path in paths])


def _converted(record: Record, folder: str, name: str) -> Record:
    file_name = os.fspath(record["file_name"])
    sizes = {side: _plain(record.get(side)) for side in ("height", "width")}
    if problem := size_problem(sizes):
        raise UserError(f"{_shown_name(name)}: {file_name!r} {problem}")
    if not all(sizes.values()):
        sizes = dict(zip(sizes, header_size(file_name), strict=True))
    relative = os.path.relpath(os.path.abspath(file_name), folder)
    converted = {"relative_name": Path(relative).as_posix(), **record, **sizes}
    converted["file_name"] = file_name
    if "annotations" in record:
        converted["annotations"] = [_xyxy(annotation, name) for annotation in record["annotations"]]
    return converted


def _plain(side: Any) -> Any:
    return side.item() if isinstance(side, np.generic) else side


def _xyxy(annotation: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        box = BoxMode.convert(
            list(annotation["bbox"]), BoxMode(annotation["bbox_mode"]), BoxMode.XYXY_ABS
        )
        plain = [float(number) for number in box]
        category = int(annotation["category_id"])
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise UserError(
            f"{_shown_name(name)} has an annotation without a proper bbox, bbox_mode and "
            f"category_id: {shown_value(annotation)}"
        ) from error
    if not all(is_number(number, MAX_COORDINATE) for number in plain):
        raise UserError(
            f"{_shown_name(name)} has the bbox {shown_value(plain)}; "
            "it must be finite numbers of pixels"
        )
    return {
        "iscrowd": 0,
        **annotation,
        "bbox": plain,
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": category,
    }
