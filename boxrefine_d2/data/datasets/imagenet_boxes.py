"""Loader of ILSVRC's classification and localisation data (Russakovsky et al., arXiv:1409.0575).

ILSVRC/ImageSets/CLS-LOC/train_cls.txt            WNID/NAME NUMBER
ILSVRC/ImageSets/CLS-LOC/val.txt                  NAME NUMBER
ILSVRC/Data/CLS-LOC/train/WNID/NAME.JPEG
ILSVRC/Data/CLS-LOC/val/NAME.JPEG
ILSVRC/Annotations/CLS-LOC/val/NAME.xml           in VOC's format
"""

import os
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import is_file_name, shown_value
from boxrefine_d2.progress import with_progress

from ..records import LoadedDataset, Record, box_annotation
from .voc import object_in_xml, size_in_xml
from .xml_file import read_xml

TRAIN_LIST, VAL_LIST = "ImageSets/CLS-LOC/train_cls.txt", "ImageSets/CLS-LOC/val.txt"
TRAIN_IMAGES, VAL_IMAGES = "Data/CLS-LOC/train", "Data/CLS-LOC/val"
VAL_BOXES = "Annotations/CLS-LOC/val"


def load_imagenet_train(root: str | os.PathLike[str]) -> LoadedDataset:
    """Return a record with a class of every training image, in the order of the list.

    The classes are the sorted WordNet ids of the list. No image and no annotation is opened: sizes
    stay unknown, and the records have no boxes, which localisation from classes does not read.

    Raises: UserError for a missing list, or a line that is no image of a class.
    """
    folder = Path(root)
    names = _train_names(folder)
    number = {wnid: place for place, wnid in enumerate(_classes(names))}
    records = [
        _record(folder, f"{TRAIN_IMAGES}/{name}.JPEG", number[name.split("/", 1)[0]])
        for name in names
    ]
    return _dataset(records, list(number), labelled=False)


def load_imagenet_val(root: str | os.PathLike[str]) -> LoadedDataset:
    """Return a record of every validation image with its class and boxes, in the order of the list.

    The classes are those of the training list. The corners of a box are the file's, from 0: the
    published evaluation uses them unchanged. The size of an image is that of its XML file.

    Raises: UserError for a missing list or XML file, a damaged one, and an image whose objects are
            not of one class of the training list.
    """
    folder = Path(root)
    number = {wnid: place for place, wnid in enumerate(_classes(_train_names(folder)))}
    names = _names(folder / VAL_LIST, parts=1)
    records = [_val_record(folder, name, number) for name in with_progress(names, "imagenet")]
    return _dataset(records, list(number), labelled=True)


def _dataset(records: list[Record], classes: list[str], *, labelled: bool) -> LoadedDataset:
    return LoadedDataset(records, classes, list(range(1, len(classes) + 1)), labelled=labelled)


def _classes(names: list[str]) -> list[str]:
    return sorted({name.split("/", 1)[0] for name in names})


def _train_names(folder: Path) -> list[str]:
    return _names(folder / TRAIN_LIST, parts=2)


def _names(path: Path, parts: int) -> list[str]:
    """Return the first word of each line, a path of that many parts without suffix."""
    names = [line.split()[0] for line in read_lines(path, "ILSVRC list")]
    for name in names:
        words = name.split("/")
        if len(words) != parts or not {"", ".", ".."}.isdisjoint(words) or not is_file_name(name):
            form = "WNID/NAME" if parts == 2 else "NAME"
            raise UserError(
                f"ILSVRC list {str(path)!r} has the line {shown_value(name)}; expected {form}"
            )
    if not names:
        raise UserError(f"ILSVRC list {str(path)!r} names no image")
    return names


def _record(folder: Path, relative: str, label: int) -> Record:
    return {
        "file_name": os.path.join(folder, relative),
        "relative_name": relative,
        "image_id": relative.rsplit("/", 1)[-1].removesuffix(".JPEG"),
        "height": None,
        "width": None,
        "image_label": label,
    }


def _val_record(folder: Path, name: str, number: dict[str, int]) -> Record:
    path = folder / VAL_BOXES / f"{name}.xml"
    root = read_xml(path, "ILSVRC annotation")
    objects = [object_in_xml(item, path) for item in root.findall("object")]
    classes = sorted({class_name for class_name, _ in objects})
    if len(classes) != 1 or classes[0] not in number:
        raise UserError(
            f"ILSVRC annotation {str(path)!r} has the classes {shown_value(classes)}; expected one "
            f"class of {TRAIN_LIST}"
        )
    label = number[classes[0]]
    record = _record(folder, f"{VAL_IMAGES}/{name}.JPEG", label)
    record["height"], record["width"] = size_in_xml(root, Path(record["file_name"]))
    record["annotations"] = [box_annotation(box, label) for _, box in objects]
    return record
