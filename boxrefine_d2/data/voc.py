"""PASCAL VOC trees: ImageSets/Main/SPLIT.txt, Annotations/*.xml, JPEGImages."""

import logging
import math
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from detectron2.structures import BoxMode

from boxrefine_d2.data.images import header_size
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError

VOC_CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

logger = logging.getLogger(__name__)


def load_voc(root: str | os.PathLike[str], split: str) -> list[Record]:
    """Records of one split of a VOC tree, in the order of its list.

    A box is [xmin - 1, ymin - 1, xmax, ymax] of the XML: VOC counts pixels from 1 and includes the
    last one. Objects marked difficult or truncated are included, as in the CorLoc that the papers
    report; the marks are kept as the booleans `difficult` and `truncated`, so that an evaluator can
    leave them out. `image_id` is the name in the list ("000005").

    Args:   root: the folder that holds ImageSets (VOC2007), or one above it (VOCdevkit, or its
            parent) if only one tree below has this split.  split: name of a list in ImageSets/Main,
            without ".txt".
    Raises: UserError for a missing tree, list or XML file, a damaged XML file, or a class that is
            not one of the twenty.
    """
    tree = _find_tree(Path(root), split)
    records = [
        _load_record(tree, name)
        for name in _read_list(tree / "ImageSets" / "Main" / f"{split}.txt")
    ]
    degenerate = sum(
        x2 <= x1 or y2 <= y1
        for record in records
        for x1, y1, x2, y2 in (a["bbox"] for a in record["annotations"])
    )
    if degenerate:
        logger.warning(
            "%s, %s: %d boxes have no area; they are kept as they are", tree, split, degenerate
        )
    return records


def _find_tree(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise UserError(f"VOC folder {str(root)!r} does not exist")
    candidates = [root, *sorted(root.glob("VOC[0-9]*")), *sorted(root.glob("VOCdevkit/VOC[0-9]*"))]
    trees = [tree for tree in candidates if (tree / "ImageSets" / "Main").is_dir()]
    if trees and trees[0] == root:
        trees = trees[:1]
    found = [tree for tree in trees if (tree / "ImageSets" / "Main" / f"{split}.txt").is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(tree) for tree in found)
        raise UserError(
            f"VOC folder {str(root)!r} holds several trees with a split {split!r}; name one of {names}"
        )
    if not trees:
        raise UserError(
            f"{str(root)!r} is not a VOC tree: looked for {str(root / 'ImageSets' / 'Main')!r}"
        )
    splits = sorted(
        {path.stem for tree in trees for path in (tree / "ImageSets" / "Main").glob("*.txt")}
    )
    known = ", ".join(name for name in splits if "_" not in name) or "none"
    raise UserError(
        f"VOC tree {str(trees[0])!r} has no split {split!r} in ImageSets/Main; there are: {known}"
    )


def _read_list(path: Path) -> list[str]:
    try:
        lines = [
            line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read VOC list {str(path)!r}: {error}") from error
    if not lines:
        raise UserError(f"VOC list {str(path)!r} names no image")
    for words in lines:
        if len(words) != 1:
            raise UserError(
                f"VOC list {str(path)!r} has the line {' '.join(words)!r}: lists of one class (NAME_SPLIT.txt, two columns) "
                "are not splits; use train, val, trainval or test"
            )
    names = [words[0] for words in lines]
    if len(set(names)) != len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise UserError(f"VOC list {str(path)!r} names {twice!r} twice")
    return names


def _load_record(tree: Path, name: str) -> Record:
    path = tree / "Annotations" / f"{name}.xml"
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise UserError(
            f"VOC annotation {str(path)!r} does not exist, but {name!r} is in the list"
        ) from error
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"cannot read VOC annotation {str(path)!r}: {error}") from error
    image = tree / "JPEGImages" / f"{name}.jpg"
    if not image.is_file():
        # Trees made with other tools keep other kinds of pictures; the XML then has the name.
        named = tree / "JPEGImages" / os.path.basename(root.findtext("filename", "").strip())
        image = named if named.is_file() else image
    height, width = _size(root, image)
    return {
        "file_name": str(image),
        "relative_name": image.relative_to(tree).as_posix(),
        "image_id": name,
        "height": height,
        "width": width,
        "annotations": [_annotation(item, path) for item in root.findall("object")],
    }


def _size(root: ElementTree.Element, image: Path) -> tuple[int | None, int | None]:
    """(H, W) of the XML, or of the picture's header where the XML has none or zeros."""
    try:
        height, width = (
            int(float(root.findtext("size/height", "0"))),
            int(float(root.findtext("size/width", "0"))),
        )
    except (ValueError, OverflowError):
        height = width = 0
    if height > 0 and width > 0:
        return height, width
    return header_size(image)


def _annotation(item: ElementTree.Element, path: Path) -> Record:
    class_name = item.findtext("name", "").strip()
    if class_name not in VOC_CLASS_NAMES:
        raise UserError(
            f"VOC annotation {str(path)!r} has the class {class_name!r}, which is not one of the twenty of VOC; "
            "write other classes as a COCO file and use coco:JSON:DIR"
        )
    try:
        x1, y1, x2, y2 = (
            float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
        )
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"VOC annotation {str(path)!r} has a {class_name!r} without a complete bndbox"
        ) from error
    return {
        "bbox": [x1 - 1.0, y1 - 1.0, x2, y2],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": VOC_CLASS_NAMES.index(class_name),
        "iscrowd": 0,
        "difficult": item.findtext("difficult", "0").strip() == "1",
        "truncated": item.findtext("truncated", "0").strip() == "1",
    }
