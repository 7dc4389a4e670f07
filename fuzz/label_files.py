"""Valid label files of every kind for three small images, and damage that knows their form."""

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_codec

from .mutation import damaged, damaged_tree

WIDTH, HEIGHT = 40, 30
VOC_IDS = ("000001", "000002")
OPEN_IDS = ("0001eeaf4aed83f9", "ffff21932da3ed01")
NAMES = ("a.jpg", "b.png", "sub/c.jpg")
# Tokens that JSON, XML and CSV may have in the place of a number.
_TOKENS = (
    *(
        "1e999",
        "-1e999",
        "1" + "0" * 5000,
        "NaN",
        "-Infinity",
        "0x10",
        "1_000",
        "٣",
        "-0",
        "1e-400",
        "2147483648",
    ),
    *("9" * 25, '"\\ud800"', "null", "true", "[]", "{}", '"1"', "[" * 3000 + "]" * 3000, ""),
)


def write_images(folder: Path) -> None:
    """Write the three images."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        grey = (rows * 5 + columns * 3 + number * 50) % 256
        Image.fromarray(np.stack([grey, grey, 255 - grey], 2).astype(np.uint8)).save(folder / name)


def coco_truth() -> dict[str, Any]:
    """Return a COCO data set with a polygon, a crowd in RLE, and a second category."""
    boxes = [[2, 3, 10, 12], [20, 5, 15, 20], [0, 0, 40, 30], [5.5, 6.5, 7, 8]]
    annotations = [
        {
            "id": i + 1,
            "image_id": i % 3 + 1,
            "category_id": i % 2 + 1,
            "bbox": box,
            "area": box[2] * box[3],
        }
        | {"iscrowd": int(i == 2), "segmentation": [_corners(box)] if i != 2 else _runs(box)}
        for i, box in enumerate(boxes)
    ]
    categories = [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 2, "name": "dog"}]
    return {"info": {}, "images": _images(), "annotations": annotations, "categories": categories}


def predictions(ids: Sequence[int | str] = (1, 2, 3)) -> list[dict[str, Any]]:
    """Return a COCO results list with masks. Args: ids: ids of the images."""
    return [
        {
            "image_id": ids[i % len(ids)],
            "category_id": 1,
            "bbox": box,
            "score": 0.9 - i / 10,
            "segmentation": _rle(box),
        }
        for i, box in enumerate([[2, 3, 9, 12], [21, 5, 15, 20], [1, 1, 30, 20], [5, 6, 7, 8]])
    ]


def pseudo_labels() -> dict[str, Any]:
    """Return a pseudo-label file with masks."""
    annotations = [
        entry | {"id": i + 1, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for i, entry in enumerate(predictions())
    ]
    info = {
        "method": "lost",
        "parameters": {"k_patches": 100},
        "backbone": "dino_mini",
        "weights_sha256": "0" * 64,
        "version": "0.1",
        "images_asked": 4,
        "images_failed": [{"file_name": "d.jpg", "reason": "the file is empty"}],
    }
    categories = [{"id": 1, "name": "object"}]
    return {"info": info, "images": _images(), "annotations": annotations, "categories": categories}


def write_voc(root: Path) -> None:
    """Write a VOC tree of one split, "test"."""
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Main/test.txt").write_text("000001\n000002\n")
    for name in VOC_IDS:
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<annotation><folder>VOC2007</folder><filename>{name}.jpg</filename>"
            f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
            "<segmented>0</segmented><object><name>dog</name><pose>Left</pose>"
            "<truncated>1</truncated><difficult>0</difficult>"
            "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>25</ymax></bndbox>"
            "</object></annotation>\n"
        )


def write_open_images(root: Path) -> None:
    """Write an Open Images tree, with labels in CSV files."""
    (root / "annotations").mkdir(parents=True)
    (root / "validation").mkdir()
    for name in OPEN_IDS:
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "validation" / f"{name}.jpg")
    (root / "annotations/class-descriptions-boxable.csv").write_text(
        '/m/011k07,Tortoise\n/m/01g317,"Person, standing"\n'
    )
    (root / "annotations/validation-annotations-bbox.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
        "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
        "0001eeaf4aed83f9,xclick,/m/01g317,1,0.25,0.75,0.1,0.5,0,0,0,0,0\n"
        "ffff21932da3ed01,activemil,/m/011k07,1,0.5,0.625,0.2,0.3,0,0,-1,0,0\n"
    )


def damaged_json(content: Any, draw: random.Random) -> bytes:
    """Return the bytes of a damaged JSON file: its tree, tokens or bytes are damaged."""
    if draw.random() < 0.6:
        content = damaged_tree(content, draw)
    text = _dumped(content, draw)
    if draw.random() < 0.3:
        text = damaged_numbers(text, draw, _TOKENS)
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.25:
        data = damaged(data, draw)
    if draw.random() < 0.05:
        data = draw.choice(
            (b"\xef\xbb\xbf" + data, data.decode("utf-8", "replace").encode("utf-16"))
        )
    return data


def damaged_markup(text: str, draw: random.Random) -> bytes:
    """Return the bytes of a damaged XML file: numbers, encoding, entities, tags or bytes."""
    way = draw.random()
    if way < 0.35:
        text = damaged_numbers(text, draw, (*_TOKENS, "\x00", "&#0;", "&lt;", "<a/>"))
    elif way < 0.5:
        names = (
            "GB2312",
            "Shift_JIS",
            "utf-16",
            "utf-7",
            "klingon",
            "hex",
            "zlib",
            "idna",
            "",
            "UTF-32",
        )
        text = text.replace("UTF-8", draw.choice(names), 1)
    elif way < 0.65:
        entities = "".join(
            f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol"}">' for i in range(9)
        )
        outside = draw.choice(("file:///dev/zero", "file:///etc/passwd", "http://127.0.0.1:9/x"))
        body = draw.choice((entities, f'<!ENTITY e8 SYSTEM "{outside}">'))
        text = text.replace("<annotation>", f"<!DOCTYPE annotation [{body}]><annotation>", 1)
        text = text.replace(draw.choice(("dog", "000001.jpg", "Left")), "&e8;", 1)
    elif way < 0.8:
        tags = re.findall(r"</?\w+>", text)
        text = text.replace(draw.choice(tags), draw.choice((*tags, "", "<object>" * 500)), 1)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, draw) if way >= 0.8 or draw.random() < 0.1 else data


def damaged_table(text: str, draw: random.Random) -> bytes:
    """Return the bytes of a damaged CSV file or list of names: cells, lines or bytes."""
    way = draw.random()
    if way < 0.4:
        return damaged_numbers(
            text, draw, (*_TOKENS, '"', '"\n', ",", "../../etc/passwd", "\x00")
        ).encode()
    if way < 0.6:
        lines = text.splitlines(keepends=True)
        draw.shuffle(lines)
        return "".join(lines[: draw.randrange(len(lines) + 1)]).encode()
    return damaged(text.encode(), draw)


def damaged_numbers(text: str, draw: random.Random, tokens: tuple[str, ...]) -> str:
    """Return a text with one to three numbers replaced by tokens that are no plain numbers."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(re.finditer(r"(?<![\w.])-?\d+(?:\.\d+)?", text))
        if not places:
            break
        place = draw.choice(places)
        text = text[: place.start()] + draw.choice(tokens) + text[place.end() :]
    return text


def _dumped(content: Any, draw: random.Random) -> str:
    return json.dumps(content, ensure_ascii=draw.random() < 0.8, skipkeys=True)


def _images() -> list[dict[str, Any]]:
    return [
        {"id": i + 1, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for i, name in enumerate(NAMES)
    ]


def _corners(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def _runs(box: list[float]) -> dict[str, Any]:
    """Return the whole image as uncompressed RLE."""
    return {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}


def _rle(box: list[float]) -> dict[str, Any]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    x, y, w, h = (int(v) for v in box)
    mask[y : y + h, x : x + w] = 1
    code = mask_codec.encode(mask)
    return {"size": code["size"], "counts": code["counts"].decode()}
