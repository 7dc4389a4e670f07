"""Loaders of data sets with a class per pixel: VOC 2012, Pascal Context, COCO-Object and ADE20K.

VOC2012/ImageSets/Segmentation/SPLIT.txt, SegmentationClass/NAME.png, JPEGImages/NAME.jpg
VOC2010/ImageSets/SegmentationContext/SPLIT.txt, SegmentationClassContext/NAME.png, JPEGImages/...
coco/stuffthingmaps/val2017/NAME.png, coco/val2017/NAME.jpg
ADEChallengeData2016/objectInfo150.txt, annotations/validation/NAME.png, images/validation/NAME.jpg

A record has `sem_seg_file_name`, the PNG file, and `sem_seg_table`: for each of the 256 values of a
pixel its category id, 0 for background and 255 for an ignored pixel.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.progress import with_progress

from ..images import header_size
from ..records import LoadedDataset
from .voc import VOC_CLASS_NAMES

BACKGROUND, IGNORED, VALUES = 0, 255, 256
CONTEXT_NAMES = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window", "wood",
)  # fmt: skip
ADE_NAMES = "objectInfo150.txt"


@dataclass(frozen=True)
class MapFolders:
    """Folders of a data set, relative to its tree.

    Attributes:
        maps, images: folders of the PNG and of the JPEG files.
        listed: file with one name a line; "" takes all maps.
    """

    maps: str
    images: str
    listed: str = ""


def load_voc_maps(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the images of a list of VOC 2012; the classes are 1 to 20, and borders are ignored."""
    folders = MapFolders("SegmentationClass", "JPEGImages", f"ImageSets/Segmentation/{split}.txt")
    return _load(Path(root), folders, VOC_CLASS_NAMES, range(VALUES))


def load_context_maps(
    root: str | os.PathLike[str], split: str, *, background: bool
) -> LoadedDataset:
    """Return the images of a list of Pascal Context with its 59 classes.

    Args: background: True for 60 classes; otherwise pixels of no class are ignored.
    """
    folders = MapFolders(
        "SegmentationClassContext", "JPEGImages", f"ImageSets/SegmentationContext/{split}.txt"
    )
    table = range(VALUES) if background else [IGNORED, *range(1, VALUES)]
    return _load(Path(root), folders, CONTEXT_NAMES, table, background=background)


def load_coco_objects(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the images of COCO with its 80 kinds of things, 1 to 80; all else is background.

    The maps are those of COCO-Stuff, whose values are category ids less 1.
    """
    things = [c for c in COCO_CATEGORIES if c["isthing"]]
    table = [BACKGROUND] * VALUES
    for place, category in enumerate(things, start=1):
        table[category["id"] - 1] = place
    names = [str(category["name"]) for category in things]
    return _load(Path(root), MapFolders(f"stuffthingmaps/{split}", split), names, table)


def load_ade20k(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the images of the scene parsing challenge, with 150 classes and no background.

    The value 0, other objects, is ignored.
    """
    path = Path(root) / ADE_NAMES
    rows = [line.split("\t") for line in read_lines(path, "list of ADE20K's classes")]
    names = [row[-1].split(";")[0].split(",")[0].strip() for row in rows if row[0].isdigit()]
    if not names or len(names) > IGNORED - 1 or not all(names):
        raise UserError(f"{path} holds no table of classes: number, shares, images and name")
    folders = MapFolders(f"annotations/{split}", f"images/{split}")
    table = [IGNORED, *range(1, VALUES)]
    return _load(Path(root), folders, names, table, background=False)


def _load(
    root: Path,
    folders: MapFolders,
    names: Sequence[str],
    table: Sequence[int],
    *,
    background: bool = True,
) -> LoadedDataset:
    """Return a record of every image, by name. Raises: UserError for a list without names."""
    maps = root / folders.maps
    if folders.listed:
        stems = read_lines(root / folders.listed, "list of images")
    else:
        if not maps.is_dir():
            raise UserError(f"no folder of maps {str(maps)!r}; datasets/README.md has the layout")
        stems = sorted(entry.stem for entry in maps.iterdir() if entry.suffix == ".png")
    if not stems:
        raise UserError(f"{root / (folders.listed or folders.maps)} names no image")
    records = []
    for stem in with_progress(stems, "read headers"):
        relative = f"{folders.images}/{stem}.jpg"
        height, width = header_size(root / relative)
        records.append(
            {
                "file_name": os.path.join(root, relative),
                "relative_name": relative,
                "image_id": stem,
                "height": height,
                "width": width,
                "sem_seg_file_name": os.path.join(maps, f"{stem}.png"),
                "sem_seg_table": list(table),
            }
        )
    ids = list(range(1, len(names) + 1))
    return LoadedDataset(records, list(names), ids, labelled=False, has_background=background)
