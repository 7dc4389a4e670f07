"""Loader of PASCAL VOC trees: ImageSets/Main/SPLIT.txt, Annotations/*.xml, JPEGImages."""

import logging
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import coordinates_of_words, shown_value

from ..image_files import ImageFinder, read_image_list
from ..images import header_size
from ..records import Record
from .xml_file import read_xml

VOC_CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

logger = logging.getLogger(__name__)


def load_voc(
    root: str | os.PathLike[str],
    split: str,
    class_names: Sequence[str] | None = VOC_CLASS_NAMES,
) -> list[Record]:
    """Return the records of one split of a VOC tree, in the order of its list.

    A box is [xmin - 1, ymin - 1, xmax, ymax] of the XML: VOC counts pixels from 1 and includes the
    last one. Objects marked difficult or truncated are included, as in the CorLoc that the papers
    report. The booleans `difficult` and `truncated` keep the marks, and an evaluator can leave such
    objects out. `image_id` is the name in the list ("000005"). The loader tries in this order:
    JPEGImages/NAME.jpg, the only file NAME with another suffix, the file that the XML names.

    Args:   root: folder that holds ImageSets (VOC2007), or a folder above it (VOCdevkit, or its
            parent) if only one tree below has this split.
            split: name of a list in ImageSets/Main, without ".txt".
            class_names: allowed class names; `category_id` is the position in this list. None
            allows any class, and each annotation has `class_name` in place of `category_id`.
    Raises: UserError for a missing tree, list or XML file, a damaged XML file, or a class that is
            not allowed.
    """
    tree = _find_tree(Path(root), split)
    finder = ImageFinder(tree / "JPEGImages", by_stem=True)
    records = [
        load_voc_image(tree, name, finder)
        for name in _read_list(tree / "ImageSets" / "Main" / f"{split}.txt", tree)
    ]
    finder.report(tree)
    degenerate = sum(
        x2 <= x1 or y2 <= y1
        for record in records
        for x1, y1, x2, y2 in (a["bbox"] for a in record["annotations"])
    )
    if degenerate:
        logger.warning(
            "%s, %s: %d boxes have no area; they are kept as they are", tree, split, degenerate
        )
    if class_names is not None:
        number_classes(records, class_names, root)
    return records


def number_classes(
    records: Sequence[Record], class_names: Sequence[str], root: str | os.PathLike[str]
) -> None:
    """Replace each `class_name` by the `category_id`, its position in `class_names`.

    Raises: UserError for a class that is not in `class_names`; the message names the image.
    """
    places = {name: place for place, name in enumerate(class_names)}
    for record in records:
        for annotation in record["annotations"]:
            name = annotation.pop("class_name")
            if name not in places:
                raise UserError(
                    f"VOC tree {os.fspath(root)!r}: image {record['image_id']!r} has the class "
                    f"{shown_value(name)}, which is not one of {', '.join(class_names)}; "
                    "for a tree with its own classes, write voc:ROOT:SPLIT"
                )
            annotation["category_id"] = places[name]


def classes_of_tree(root: str | os.PathLike[str], split: str) -> list[str]:
    """Return the sorted names of all classes annotated in the tree that has this split."""
    folder = _find_tree(Path(root), split) / "Annotations"
    names: set[str] = set()
    for path in sorted(folder.rglob("[!.]*.xml")):
        objects = read_xml(path, "VOC annotation").findall("object")
        names.update(_class_name(item, path) for item in objects)
    return sorted(names)


def _find_tree(root: Path, split: str) -> Path:
    if not os.path.isdir(root):
        raise UserError(f"VOC folder {str(root)!r} does not exist")
    candidates = [root, *sorted(root.glob("VOC[0-9]*")), *sorted(root.glob("VOCdevkit/VOC[0-9]*"))]
    trees = [tree for tree in candidates if os.path.isdir(tree / "ImageSets" / "Main")]
    if trees and trees[0] == root:
        trees = trees[:1]
    matches = [t for t in trees if os.path.isfile(t / "ImageSets" / "Main" / f"{split}.txt")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(str(tree) for tree in matches)
        raise UserError(
            f"VOC folder {str(root)!r} holds several trees with a split {split!r}; "
            f"name one of {names}"
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


def _read_list(path: Path, tree: Path) -> list[str]:
    names = read_image_list(path, "VOC list")
    for name in names:
        if name.split()[1:] and not os.path.isfile(_annotation_path(tree, name)):
            raise UserError(
                f"VOC list {str(path)!r} has the line {shown_value(name)}: lists of one class "
                "(NAME_SPLIT.txt, two columns) are not splits; use train, val, trainval or test"
            )
    return names


def _annotation_path(tree: Path, name: str) -> Path:
    return tree / "Annotations" / f"{name}.xml"


def load_voc_image(tree: Path, name: str, finder: ImageFinder) -> Record:
    """Return the record of one image, as `load_voc` without `class_names` returns it.

    Args:
        tree: folder that holds Annotations.
        name: name of the image without suffix, as in a list ("000005").
        finder: finder of the images in JPEGImages.
    Raises: UserError for a missing or damaged XML file.
    """
    path = _annotation_path(tree, name)
    if not os.path.lexists(path):
        raise UserError(
            f"VOC annotation {shown_value(str(path))} does not exist, "
            f"but {shown_value(name)} is in the list"
        )
    root = read_xml(path, "VOC annotation")
    image = finder.folder / finder.find(f"{name}.jpg", *_named_in(root, posixpath.dirname(name)))
    height, width = size_in_xml(root, image)
    return {
        "file_name": str(image),
        "relative_name": image.relative_to(tree).as_posix(),
        "image_id": name,
        "height": height,
        "width": width,
        "annotations": [_annotation(item, path) for item in root.findall("object")],
    }


def _named_in(root: ElementTree.Element, below: str) -> list[str]:
    """Return the possible paths of the image that the XML names.

    The first is in the subfolder of the name in the list, the second directly in JPEGImages.
    """
    name = root.findtext("filename", "").strip().replace("\\", "/").rsplit("/", 1)[-1]
    return list(dict.fromkeys([posixpath.join(below, name), name])) if name else []


def size_in_xml(root: ElementTree.Element, image: Path) -> tuple[int | None, int | None]:
    """Return (H, W) of the XML, or of the image header if the XML has no size or zeros."""
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


def _class_name(item: ElementTree.Element, path: Path) -> str:
    name = item.findtext("name", "").strip()
    if not name:
        raise UserError(
            f"VOC annotation {str(path)!r} has an object without a class; give it a <name>"
        )
    return name


def object_in_xml(item: ElementTree.Element, path: Path) -> tuple[str, list[float]]:
    """Return the class name and the corners [xmin, ymin, xmax, ymax] of an <object>, unchanged.

    Args:   path: the XML file, for messages.
    Raises: UserError for an object without a class or a complete bndbox.
    """
    class_name = _class_name(item, path)
    sides = ("xmin", "ymin", "xmax", "ymax")
    corners = coordinates_of_words(item.findtext(f"bndbox/{side}", "") for side in sides)
    if corners is None:
        raise UserError(
            f"VOC annotation {str(path)!r} has a {shown_value(class_name)} "
            "without a complete bndbox"
        )
    return class_name, corners


def _annotation(item: ElementTree.Element, path: Path) -> Record:
    class_name, (x1, y1, x2, y2) = object_in_xml(item, path)
    return {
        "bbox": [x1 - 1.0, y1 - 1.0, x2, y2],
        "bbox_mode": BoxMode.XYXY_ABS,
        "class_name": class_name,
        "iscrowd": 0,
        "difficult": item.findtext("difficult", "0").strip() == "1",
        "truncated": item.findtext("truncated", "0").strip() == "1",
    }
