"""Loader of LVIS files (Gupta et al., arXiv:1908.03195), COCO files with a `coco_url` per image."""

import os
from pathlib import Path
from typing import Any

from ..records import LoadedDataset
from .coco import dataset_of_document, read_coco_document


def load_lvis(
    json_path: str | os.PathLike[str], coco_root: str | os.PathLike[str]
) -> LoadedDataset:
    """Return the records of an LVIS file by ascending image id, in the form of `load_coco`.

    The images are those of COCO 2017. The validation set of LVIS also has images of train2017.
    Therefore an image is found by the last two parts of its `coco_url`
    ("val2017/000000000139.jpg"), or by its `file_name` if it has no `coco_url`. LVIS marks no
    crowds. The records do not state which categories of an image were labelled exhaustively,
    because class-agnostic evaluation takes every box as ground truth.

    Args:   coco_root: folder with `train2017` and `val2017`.
    Raises: UserError, as `load_coco`.
    """
    path = Path(json_path)
    document = read_coco_document(path, "LVIS file")
    images = [{**entry, "file_name": _file_name(entry)} for entry in document["images"]]
    return dataset_of_document({**document, "images": images}, path, Path(coco_root))


def _file_name(entry: dict[str, Any]) -> Any:
    url = entry.get("coco_url")
    if isinstance(url, str) and "/" in url:
        return "/".join(url.split("/")[-2:])
    return entry.get("file_name")
