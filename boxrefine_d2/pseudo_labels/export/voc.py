"""PASCAL VOC: one XML file per image, and the list of all images.

    Annotations/a/b.xml              the boxes of image a/b.jpg, with their category; an image
                                     without boxes has a file without objects
    ImageSets/Main/trainval.txt      a/b, one line per image

VOC counts pixels from 1 and includes the last one. A half-open box is therefore written as
[x1 + 1, y1 + 1, x2, y2]. Sides between pixels, which VOC2012 has as well, are written as decimals,
to a millionth of a pixel. A reader that subtracts 1 from xmin and ymin recovers the box. A reader
that accepts whole numbers only will refuse decimals. The format has no place for scores.

LabelImg looks for b.xml beside b.jpg, or in the one folder that it saves to. For images in several
folders, copy Annotations/ over the folder of the images.
"""

import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from .file_names import beside, file_names
from .format import Export, Format
from .labelled_images import LabelledBox, LabelledImage, decimal
from .per_image import write_per_image

SPLIT = "trainval"

logger = logging.getLogger(__name__)


def write_voc(export: Export, folder: Path) -> None:
    """Write the format; see `Writer`."""
    files = file_names(export.images, beside(".xml"))
    document = partial(_document, export.categories)
    write_per_image(folder / "Annotations", export.images, files, document)
    names = [str(path).removesuffix(".xml") for path in files]
    split = folder / "ImageSets" / "Main" / f"{SPLIT}.txt"
    split.parent.mkdir(parents=True)
    split.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")
    spaced = sum(" " in name for name in names)
    if spaced:
        logger.warning(
            "%s: %d images have spaces in their names, and most readers of VOC's lists split them "
            "there",
            *(export.source, spaced),
        )


def _document(categories: Mapping[int, str], image: LabelledImage) -> bytes:
    path = PurePosixPath(image.file_name)
    root = ElementTree.Element("annotation")
    _add(root, "folder", path.parent if path.parent.name else "")
    _add(root, "filename", path.name)
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        _add(size, name, value)
    _add(root, "segmented", 0)
    for box in image.boxes:
        root.append(_object(box, categories[box.category_id]))
    ElementTree.indent(root, "\t")
    document: bytes = ElementTree.tostring(root, encoding="utf-8") + b"\n"
    return document


def _object(box: LabelledBox, category: str) -> ElementTree.Element:
    element = ElementTree.Element("object")
    for name, value in (
        ("name", category),
        ("pose", "Unspecified"),
        ("truncated", 0),
        ("difficult", 0),
    ):
        _add(element, name, value)
    x1, y1, x2, y2 = box.xyxy
    corners = ElementTree.SubElement(element, "bndbox")
    for name, side in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
        _add(corners, name, decimal(side))
    return element


def _add(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)


VOC = Format(write_voc, frozenset({"Annotations", "ImageSets"}))
