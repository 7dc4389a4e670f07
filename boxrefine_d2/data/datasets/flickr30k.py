"""Loader of Flickr30k Entities: phrases of five captions per image, with boxes of the entities.

flickr30k/{train,val,test}.txt                                  ids of a split
flickr30k/flickr30k_entities/{Annotations,Sentences}/ID.{xml,txt}
flickr30k/flickr30k_images/flickr30k_images/ID.jpg              two folders, as in the archive
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
# The first box of an entity must cover more than this share of the image (the papers' protocol).
MIN_AREA = 0.05

_PHRASE = re.compile(r"\[/EN#(\d+)/\S+((?:\s+[^\[\]]+)?)\]")


def load_flickr30k(root: str | Path, split: str) -> LoadedDataset:
    """Return one record per image, with one annotation per entity.

    An annotation has `phrases` (all phrasings of the entity in lower case), `boxes`, `bbox` (the
    union of the boxes) and `annotation_id` (the id of the entity). The papers' protocol leaves out
    entities without a box, without a phrase or with a small first box; an image may have no entity
    left. Coordinates are the files' coordinates minus 1. `captions` are the five sentences.

    Raises: UserError for a missing list or file, or a damaged XML file.
    """
    folder = Path(root)
    ids = read_image_list(folder / f"{split}.txt", "list of images")
    finder = ImageFinder(folder / IMAGES)
    records = [_record(folder, name, finder) for name in with_progress(ids, "flickr30k")]
    finder.report(folder)
    return LoadedDataset(records, ["object"], [1])


def parse_sentence(sentence: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the sentence without its marks, and (entity id, phrase) of each marked phrase.

    >>> parse_sentence("[/EN#1/people A man] throws [/EN#2/other a ball] .")
    ('A man throws a ball .', [('1', 'A man'), ('2', 'a ball')])
    """
    phrases = [
        (match[1], " ".join(match[2].split()))
        for match in _PHRASE.finditer(sentence)
        if match[2].strip()
    ]
    bare = _PHRASE.sub(lambda match: match[2].strip(), sentence)
    return " ".join(bare.split()), phrases


def _record(root: Path, name: str, finder: ImageFinder) -> Record:
    relative = finder.find(f"{name}.jpg")
    annotations = root / ENTITIES / "Annotations" / f"{name}.xml"
    tree = read_xml(annotations, "annotation")
    (width, height), boxes = _size(tree, annotations), _boxes(tree, annotations)
    captions = []
    phrases: dict[str, dict[str, None]] = {}
    for line in read_lines(root / ENTITIES / "Sentences" / f"{name}.txt", "sentences"):
        caption, marked = parse_sentence(line)
        captions.append(caption)
        for entity, phrase in marked:
            phrases.setdefault(entity, {})[phrase.lower()] = None
    entities = [
        {
            "annotation_id": entity,
            "phrases": list(phrases[entity]),
            "boxes": entity_boxes,
            "bbox": _union(entity_boxes),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
        }
        for entity, entity_boxes in boxes.items()
        if entity in phrases and _area(entity_boxes[0]) > MIN_AREA * width * height
    ]
    file_name = str(finder.folder / relative)
    image_height, image_width = header_size(file_name)
    return {
        "file_name": file_name,
        "relative_name": relative,
        "image_id": name,
        "height": image_height,
        "width": image_width,
        "captions": captions,
        "annotations": entities,
    }


def _size(tree: ElementTree.Element, path: Path) -> tuple[float, float]:
    """Return (W, H) of the image in pixels."""
    sides = coordinates_of_words(tree.findtext(f"size/{side}", "") for side in ("width", "height"))
    if sides is None:
        raise UserError(f"cannot read {str(path)!r}: its size must be width and height in pixels")
    return sides[0], sides[1]


def _boxes(tree: ElementTree.Element, path: Path) -> dict[str, list[list[float]]]:
    """Return entity id -> XYXY boxes, in the order of the file."""
    boxes: dict[str, list[list[float]]] = {}
    for element in tree.iter("object"):
        corners = element.find("bndbox")
        if corners is None:  # the object is marked as a scene or as invisible
            continue
        box = coordinates_of_words(
            corners.findtext(key, "") for key in ("xmin", "ymin", "xmax", "ymax")
        )
        if box is None:
            raise UserError(f"cannot read {str(path)!r}: an object has no complete bndbox")
        for entity in element.iter("name"):
            boxes.setdefault(str(entity.text), []).append([side - 1 for side in box])
    return boxes


def _union(boxes: list[list[float]]) -> list[float]:
    low = [min(box[i] for box in boxes) for i in (0, 1)]
    return low + [max(box[i] for box in boxes) for i in (2, 3)]


def _area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
