"""Registered data sets, read from their publishers' folder trees below `$DETECTRON2_DATASETS`.

datasets/README.md documents the content and the source of each tree. The spec NAME+agnostic serves
class-agnostic evaluation, such as CutLER's over eleven of these data sets.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from boxrefine_d2.errors import UserError

from ..records import LoadedDataset
from . import cub, imagenet_boxes, oxford_flowers, referit, stanford_cars, visual_genome
from .coco import load_coco
from .coco20k import LIST_NAME, load_coco20k
from .coco_captions import load_coco_captions
from .flickr30k import ENTITIES, IMAGES, load_flickr30k
from .kitti import load_kitti
from .lvis import load_lvis
from .openimages import CLASSES_NAME, load_openimages
from .semantic_maps import (
    ADE_NAMES,
    load_ade20k,
    load_coco_objects,
    load_context_maps,
    load_voc_maps,
)
from .tiny_imagenet import CLASSES, VAL_BOXES, load_tiny_imagenet
from .uvo import load_uvo_dense
from .voc import VOC_CLASS_NAMES
from .voc_splits import SIX_CLASS_NAMES, load_voc_splits
from .wsol_metadata import load_wsol


class NamedDataset(NamedTuple):
    """One entry of `NAMED_DATASETS`.

    Attributes:
        tree: folder of the data set, relative to `datasets_root`.
        load: function from the path of that folder to the data set.
        needs: files and folders that `load` opens, relative to the tree; "../" leads to another
            tree.
    """

    tree: str
    load: Callable[[Path], LoadedDataset]
    needs: tuple[str, ...]


def datasets_root() -> Path:
    """Return the folder of all registered data sets.

    It is `$DETECTRON2_DATASETS`, read at each call, or `datasets` if that is not set.
    """
    return Path(os.path.expanduser(os.environ.get("DETECTRON2_DATASETS") or "datasets"))


def load_named(name: str) -> LoadedDataset:
    """Return a data set of `NAMED_DATASETS`.

    Raises: UserError if its tree is missing; the message names the expected path.
    """
    root = datasets_root() / NAMED_DATASETS[name].tree
    if not os.path.isdir(root):
        raise UserError(
            f"data set {name!r} is not there: looked for the folder {str(root)!r}; "
            "put it there, or set DETECTRON2_DATASETS to the folder that holds it; "
            "datasets/README.md says where it comes from"
        )
    return NAMED_DATASETS[name].load(root)


def needed_paths(name: str) -> list[Path]:
    """Return the tree of a registered data set, and the paths its loader opens before images."""
    root = datasets_root() / NAMED_DATASETS[name].tree
    needs = NAMED_DATASETS[name].needs
    return [root, *(Path(os.path.normpath(root / part)) for part in needs)]


def _load_coco_split(root: Path, *, json_name: str, images: str) -> LoadedDataset:
    return load_coco(root / json_name, root / images)


def _load_lvis_split(root: Path, *, json_name: str, coco: str) -> LoadedDataset:
    return load_lvis(root / json_name, os.path.normpath(root / coco))


def _load_uvo_dense_split(root: Path, *, json_name: str, frames: str) -> LoadedDataset:
    return load_uvo_dense(root / json_name, root / frames)


def _voc(tree: str, *splits: str, class_names: tuple[str, ...] = VOC_CLASS_NAMES) -> NamedDataset:
    load = partial(load_voc_splits, splits=splits, class_names=class_names)
    lists = (f"ImageSets/Main/{split}.txt" for split in splits)
    return NamedDataset(tree, load, (*lists, "Annotations", "JPEGImages"))


def _coco(tree: str, json_name: str, images: str) -> NamedDataset:
    load = partial(_load_coco_split, json_name=json_name, images=images)
    return NamedDataset(tree, load, (json_name, images))


def _voc_maps(split: str) -> NamedDataset:
    listed = f"ImageSets/Segmentation/{split}.txt"
    needs = (listed, "SegmentationClass", "JPEGImages")
    return NamedDataset("VOC2012", partial(load_voc_maps, split=split), needs)


def _context_maps(*, background: bool) -> NamedDataset:
    load = partial(load_context_maps, split="val", background=background)
    needs = ("ImageSets/SegmentationContext/val.txt", "SegmentationClassContext", "JPEGImages")
    return NamedDataset("VOC2010", load, needs)


def _captions(split: str) -> NamedDataset:
    json_name, images = f"annotations/captions_{split}2014.json", f"{split}2014"

    def load(root: Path) -> LoadedDataset:
        return load_coco_captions(root / json_name, root / images)

    return NamedDataset("coco", load, (json_name, images))


def _lvis(tree: str, json_name: str, coco: str) -> NamedDataset:
    load = partial(_load_lvis_split, json_name=json_name, coco=coco)
    return NamedDataset(tree, load, (json_name, f"{coco}/train2017", f"{coco}/val2017"))


def _uvo_dense(json_name: str, frames: str) -> NamedDataset:
    load = partial(_load_uvo_dense_split, json_name=json_name, frames=frames)
    return NamedDataset("uvo", load, (json_name, frames))


def _cars(split: str) -> NamedDataset:
    labels, images = stanford_cars.TRAIN, "cars_train"
    if split == "test":
        labels, images = stanford_cars.TEST, "cars_test"
    load = partial(stanford_cars.load_stanford_cars, split=split)
    return NamedDataset("stanford_cars", load, (stanford_cars.NAMES, labels, images))


def _openimages30k(split: str) -> NamedDataset:
    metadata = f"metadata/{split}"

    def load(root: Path) -> LoadedDataset:
        return load_wsol(root / metadata, root)

    files = (f"{metadata}/{name}.txt" for name in ("image_ids", "class_labels", "localization"))
    return NamedDataset("openimages30k", load, (*files, split))


_COCO20K_NEEDS = (LIST_NAME, "annotations/instances_train2014.json", "train2014")
_OPENIMAGES_NEEDS = (
    "annotations/validation-annotations-bbox.csv",
    f"annotations/{CLASSES_NAME}",
    "validation",
)

NAMED_DATASETS: dict[str, NamedDataset] = {
    **{
        f"voc_{year}_{split}": _voc(f"VOC{year}", split)
        for year, splits in (
            (2007, ("trainval", "train", "val", "test")),
            (2012, ("trainval", "train", "val")),
        )
        for split in splits
    },
    "voc_2007_trainvaltest": _voc("VOC2007", "trainval", "test"),
    "coco20k": NamedDataset("coco", load_coco20k, _COCO20K_NEEDS),
    **{
        f"coco_{year}_{split}": _coco(
            "coco", f"annotations/instances_{split}{year}.json", f"{split}{year}"
        )
        for year in (2014, 2017)
        for split in ("train", "val")
    },
    **{f"coco_captions_2014_{split}": _captions(split) for split in ("train", "val")},
    "lvis_v1_val": _lvis("lvis", "lvis_v1_val.json", "../coco"),
    "lvis_v1_val_cocofied": _lvis(
        "coco", "annotations/lvis1.0_cocofied_val_cls_agnostic.json", "."
    ),
    "uvo_sparse_val": _coco("uvo", "FrameSet/UVO_frame_val.json", "uvo_videos_sparse_frames"),
    "uvo_dense_val": _uvo_dense(
        "VideoDenseSet/UVO_video_val_dense.json", "uvo_videos_dense_frames"
    ),
    "kitti_trainval": NamedDataset("kitti/training", load_kitti, ("label_2", "image_2")),
    "objects365_val": _coco("objects365", "annotations/zhiyuan_objv2_val.json", "val"),
    "openimages_val": NamedDataset(
        "openimages", partial(load_openimages, split="validation"), _OPENIMAGES_NEEDS
    ),
    **{
        f"{tree}_{''.join(splits)}": _voc(tree, *splits, class_names=class_names)
        for tree, class_names in (
            ("clipart", VOC_CLASS_NAMES),
            ("watercolor", SIX_CLASS_NAMES),
            ("comic", SIX_CLASS_NAMES),
        )
        for splits in (("train",), ("test",), ("train", "test"))
    },
    **{
        f"flickr30k_{split}": NamedDataset(
            "flickr30k",
            partial(load_flickr30k, split=split),
            (f"{split}.txt", f"{ENTITIES}/Annotations", f"{ENTITIES}/Sentences", IMAGES),
        )
        for split in ("train", "val", "test")
    },
    **{
        f"visual_genome_{split}": NamedDataset(
            "visual_genome",
            partial(visual_genome.load_visual_genome, split=split),
            (visual_genome.SPLITS, visual_genome.REGIONS, visual_genome.IMAGES),
        )
        for split in ("train", "test")
    },
    **{
        f"referit_{split}": NamedDataset(
            "referit",
            partial(referit.load_referit, split=split),
            (f"{referit.ANNOTATIONS}/{split}.pickle", referit.IMAGES),
        )
        for split in ("train", "val", "test")
    },
    **{
        f"cub_{split}": NamedDataset(
            "CUB_200_2011", partial(cub.load_cub, split=split), (*cub.FILES, cub.IMAGES)
        )
        for split in ("train", "val", "trainval", "test")
    },
    **{f"cars_{split}": _cars(split) for split in ("train", "val", "trainval", "test")},
    **{
        f"flowers_{split}": NamedDataset(
            "flowers102",
            partial(oxford_flowers.load_oxford_flowers, split=split),
            (oxford_flowers.LABELS, oxford_flowers.SPLITS, oxford_flowers.IMAGES),
        )
        for split in ("train", "val", "test")
    },
    **{
        f"tiny_imagenet_{split}": NamedDataset(
            "tiny-imagenet-200", partial(load_tiny_imagenet, split=split), (CLASSES, *needs)
        )
        for split, needs in (("train", ("train",)), ("val", (VAL_BOXES, "val/images")))
    },
    "imagenet_loc_train": NamedDataset(
        "ILSVRC",
        imagenet_boxes.load_imagenet_train,
        (imagenet_boxes.TRAIN_LIST, imagenet_boxes.TRAIN_IMAGES),
    ),
    "imagenet_loc_val": NamedDataset(
        "ILSVRC",
        imagenet_boxes.load_imagenet_val,
        (
            imagenet_boxes.TRAIN_LIST,
            imagenet_boxes.VAL_LIST,
            imagenet_boxes.VAL_BOXES,
            imagenet_boxes.VAL_IMAGES,
        ),
    ),
    **{f"openimages30k_{split}": _openimages30k(split) for split in ("train", "val", "test")},
    **{f"voc_2012_semantic_{split}": _voc_maps(split) for split in ("train", "val", "trainval")},
    "pascal_context_59_val": _context_maps(background=False),
    "pascal_context_60_val": _context_maps(background=True),
    **{
        f"coco_object_{split}": NamedDataset(
            "coco", partial(load_coco_objects, split=split), (f"stuffthingmaps/{split}", split)
        )
        for split in ("train2017", "val2017")
    },
    **{
        f"ade20k_{short}": NamedDataset(
            "ADEChallengeData2016",
            partial(load_ade20k, split=split),
            (ADE_NAMES, f"annotations/{split}", f"images/{split}"),
        )
        for short, split in (("train", "training"), ("val", "validation"))
    },
    "cutouts_train": _coco("cutouts", "train.json", "train"),
    "cutouts_val": _coco("cutouts", "val.json", "val"),
    **{
        f"photos_{part}": _coco(f"photos/{part}", "annotations.json", "images")
        for part in ("train", "val", "coco_train", "coco_val", "ecssd_val")
    },
}
