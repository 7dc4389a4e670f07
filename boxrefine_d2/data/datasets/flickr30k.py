"""Flickr30k Entities: phrases of five captions an image, and the boxes of what they name.

flickr30k/{train,val,test}.txt                                  ids of a split
flickr30k/flickr30k_entities/{Annotations,Sentences}/ID.{xml,txt}
flickr30k/flickr30k_images/flickr30k_images/ID.jpg              the folder's name twice, as it is unpacked
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import coordinates_of_words
from boxrefine_d2.progress import with_progress

from ..image_files import ImageFinder, read_image_list
from ..images import header_size
from ..records import LoadedDataset, Record
from .xml_file import read_xml

ENTITIES = "flickr30k_entities"
IMAGES = "flickr30k_images/flickr30k_images"
MIN_AREA = 0.05  # share of the image that the first box of an entity covers more than; the papers' protocol

_PHRASE = re.compile(r"\[/EN#(\d+)/\S+((?:\s+[^\[\]]+)?)\]")


def load_flickr30k(root: str | Path, split: str) -> LoadedDataset:
    """One record an image, one annotation an entity: `phrases`, all its phrasings in lower case; `boxes`, and their union
    as `bbox`; its id as `annotation_id`.

    Entities without a box, without a phrase or with a small first box are left out, as in the papers' protocol; an image
    may have none left. Coordinates are those of the files less 1. `captions` are the five sentences.

    Raises: UserError for a missing list or file, or an XML file that is damaged.
    """
    folder = Path(root)
    ids = read_image_list(folder / f"{split}.txt", "list of images")
    finder = ImageFinder(folder / IMAGES)
    records = [_record(folder, name, finder) for name in with_progress(ids, "flickr30k")]
    finder.report(folder)
    return LoadedDataset(records, ["object"], [1])


def parse_sentence(sentence: str) -> tuple[str, list[tuple[str, str]]]:
    """The sentence without its marks, and (entity id, phrase) of each marked phrase.

    >>> parse_sentence("[/EN#1/people A man] throws [/EN#2/other a ball] .")
    ('A man throws a ball .', [('1', 'A man'), ('2', 'a ball')])
    """
    found = [
        (match[1], " ".join(match[2].split()))
        for match in _PHRASE.finditer(sentence)
        if match[2].strip()
    ]
    bare = _PHRASE.sub(lambda match: match[2].strip(), sentence)
    return " ".join(bare.split()), found


def _record(root: Path, name: str, finder: ImageFinder) -> Record:
    relative = finder.find(f"{name}.jpg")
    annotations = root / ENTITIES / "Annotations" / f"{name}.xml"
    tree = read_xml(annotations, "annotation")
    (width, height), boxes = _size(tree, annotations), _boxes(tree, annotations)
    captions = []
    phrases: dict[str, dict[str, None]] = {}
    for line in read_lines(root / ENTITIES / "Sentences" / f"{name}.txt", "sentences"):
        caption, found = parse_sentence(line)
        captions.append(caption)
        for entity, phrase in found:
            phrases.setdefault(entity, {})[phrase.lower()] = None
    entities = [
        {
            "annotation_id": entity,
            "phrases": list(phrases[entity]),
            "boxes": of_entity,
            "bbox": _union(of_entity),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
        }
        for entity, of_entity in boxes.items()
        if entity in phrases and _area(of_entity[0]) > MIN_AREA * width * height
    ]
    file_name = str(finder.folder / relative)
    found_height, found_width = header_size(file_name)
    return {
        "file_name": file_name,
        "relative_name": relative,
        "image_id": name,
        "height": found_height,
        "width": found_width,
        "captions": captions,
        "annotations": entities,
    }


def _size(tree: ElementTree.Element, path: Path) -> tuple[float, float]:
    """(W, H)."""
    sides = coordinates_of_words(tree.findtext(f"size/{side}", "") for side in ("width", "height"))
    if sides is None:
        raise UserError(f"cannot read {str(path)!r}: its size is no width and height in pixels")
    return sides[0], sides[1]


def _boxes(tree: ElementTree.Element, path: Path) -> dict[str, list[list[float]]]:
    """Entity id -> its boxes, XYXY, in the order of the file."""
    boxes: dict[str, list[list[float]]] = {}
    for thing in tree.iter("object"):
        corners = thing.find("bndbox")
        if corners is None:  # marked as a scene or as not to be seen
            continue
        box = coordinates_of_words(
            corners.findtext(key, "") for key in ("xmin", "ymin", "xmax", "ymax")
        )
        if box is None:
            raise UserError(f"cannot read {str(path)!r}: an object has no complete bndbox")
        for entity in thing.iter("name"):
            boxes.setdefault(str(entity.text), []).append([side - 1 for side in box])
    return boxes


def _union(boxes: list[list[float]]) -> list[float]:
    low = [min(box[i] for box in boxes) for i in (0, 1)]
    return low + [max(box[i] for box in boxes) for i in (2, 3)]


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
