"""Data sets that have a name, in Detectron2's usual trees below `$DETECTRON2_DATASETS`.

VOC2007, VOC2012                  voc_2007_{trainval,train,val,test},
                                  voc_2012_{trainval,train,val}
coco/{annotations,train2014,...}  coco_2014_train, coco_2017_{train,val}, and coco20k with
                                  the list coco/coco20k.txt
cutouts/{train,val}[.json]        cutouts_{train,val}
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from boxrefine_d2.data.coco import load_coco
from boxrefine_d2.data.coco20k import load_coco20k
from boxrefine_d2.data.records import LoadedDataset
from boxrefine_d2.data.voc import VOC_CLASS_NAMES, load_voc
from boxrefine_d2.errors import UserError


def datasets_root() -> Path:
    """The folder of all named data sets: `$DETECTRON2_DATASETS`, read at each call, or `datasets`."""
    return Path(os.path.expanduser(os.environ.get("DETECTRON2_DATASETS") or "datasets"))


def load_voc_dataset(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """`load_voc` with its twenty categories; their own ids are 1..20, as VOC has none."""
    ids = list(range(1, len(VOC_CLASS_NAMES) + 1))
    return LoadedDataset(load_voc(root, split), list(VOC_CLASS_NAMES), ids)


def load_named(name: str) -> LoadedDataset:
    """A data set of `NAMED_DATASETS`. Raises: UserError, with the path looked for, if its tree is
    not there."""
    tree, load = NAMED_DATASETS[name]
    root = datasets_root() / tree
    if not root.is_dir():
        raise UserError(
            f"data set {name!r} is not there: looked for the folder {str(root)!r}; "
            "put it there, or set DETECTRON2_DATASETS to the folder that holds it"
        )
    return load(root)


def _load_coco_split(root: Path, *, json_name: str, images: str) -> LoadedDataset:
    return load_coco(root / json_name, root / images)


def _coco(tree: str, json_name: str, images: str) -> tuple[str, Callable[[Path], LoadedDataset]]:
    return tree, partial(_load_coco_split, json_name=json_name, images=images)


NAMED_DATASETS: dict[str, tuple[str, Callable[[Path], LoadedDataset]]] = {
    **{
        f"voc_{year}_{split}": (f"VOC{year}", partial(load_voc_dataset, split=split))
        for year, splits in (
            (2007, ("trainval", "train", "val", "test")),
            (2012, ("trainval", "train", "val")),
        )
        for split in splits
    },
    "coco20k": ("coco", load_coco20k),
    "coco_2014_train": _coco("coco", "annotations/instances_train2014.json", "train2014"),
    "coco_2017_train": _coco("coco", "annotations/instances_train2017.json", "train2017"),
    "coco_2017_val": _coco("coco", "annotations/instances_val2017.json", "val2017"),
    "cutouts_train": _coco("cutouts", "train.json", "train"),
    "cutouts_val": _coco("cutouts", "val.json", "val"),
}
