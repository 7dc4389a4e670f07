"""Small valid label files of every format, and checks of every data set that a reader returns.

The tests of damaged files use them.
"""

import math
from itertools import chain

from boxrefine_d2.data.images import MAX_PIXELS

RLE = {"size": [20, 10], "counts": [100, 50, 50]}
POLYGON = [[1, 2, 8, 2, 8, 15, 1.5, 15]]


def coco():
    """Return a COCO document of two images, with a polygon and an RLE mask and every read field."""
    entry = {"category_id": 3, "iscrowd": 0, "area": 50.0, "score": 0.5, "phrase": "a red bird"}
    boxes = (
        {"bbox": [1, 2, 7.5, 13], "segmentation": POLYGON},
        {"bbox": [5, 0, 3, 20], "segmentation": RLE},
    )
    return {
        "info": {"method": "lost", "images_failed": [{"file_name": "c.png", "reason": "empty"}]},
        "images": [
            {"id": 1, "file_name": "a.png", "width": 10, "height": 20},
            {"id": 2, "file_name": "sub/b.png", "width": 10, "height": 20},
        ],
        "annotations": [
            {"id": 4, "image_id": 1, **boxes[0], **entry},
            {"id": 5, "image_id": 2, **boxes[1], **entry},
        ],
        "categories": [{"id": 3, "name": "bird"}],
    }  # fmt: skip


def pseudo_labels():
    document = coco()
    for entry in document["annotations"]:
        del entry["phrase"]
        entry["category_id"] = 1
    return document | {"categories": [{"id": 1, "name": "object"}]}


def captions():
    entry = {"id": 1, "image_id": 1, "caption": "a bird"}
    return {"images": coco()["images"], "annotations": [entry]}


def videos():
    track = {
        "id": 5,
        "video_id": 7,
        "category_id": 1,
        "iscrowd": 0,
        "segmentations": [RLE, None],
        "bboxes": [None, [1, 2, 3, 4]],
    }
    video = {"id": 7, "file_names": ["b/0.png", "b/1.png"], "height": 20, "width": 10}
    categories = [{"id": 1, "name": "object"}]
    return {"videos": [video], "annotations": [track], "categories": categories}


def results():
    """Return a results list with the fields of every metric."""
    return [
        {"image_id": a["image_id"], "annotation_id": a["id"], "category_id": 3, "point": [3, 4], **{
            key: a[key] for key in ("bbox", "segmentation", "score", "phrase")}}
        for a in coco()["annotations"]
    ]  # fmt: skip


def regions():
    region = {"region_id": 3, "phrase": "Sky", "x": 0, "y": 0, "width": 9, "height": 9}
    return [{"id": 5, "regions": [region]}, {"id": 9, "regions": [region]}]


VOC_XML = (
    '<?xml version="1.0"?><annotation><filename>a.png</filename>'
    "<size><width>10</width><height>20</height></size>"
    "<object><name>dog</name><difficult>0</difficult><truncated>1</truncated>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>15</ymax></bndbox>"
    "</object></annotation>"
)
KITTI_TXT = (
    "Car 0.00 0 -1.58 1.5 2.5 9.5 15.5 1.5 1.6 4.0 1.0 1.5 8.4 -1.5\n"
    "DontCare -1 -1 -10 0 0 5 5 -1 -1 -1 -1000 -1000 -1000 -10\n"
)
BOXES_CSV = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n"
    "a,xclick,/m/1,1,0.1,0.5,0.2,0.9,0\na,xclick,/m/1,1,0,1,0,1,1\n"
)


def problems_of_message(message):
    """Yield the problems of a message, if it is not one printable line of a readable length."""
    if "\n" in message or len(message) > 1500:
        yield f"a message of {len(message)} characters"
    try:
        message.encode()
    except UnicodeEncodeError:
        yield f"a message that cannot be printed: {message!r}"


def check_sound(dataset):
    assert all(
        isinstance(name, str) and name.encode() is not None for name in dataset.category_names
    )
    assert len({record["image_id"] for record in dataset.records}) == len(dataset.records)
    for record in dataset.records:
        assert isinstance(record["image_id"], (int, str)) and not isinstance(
            record["image_id"], bool
        )
        str(record["image_id"]).encode()
        height, width = record["height"], record["width"]
        if height is not None:
            assert type(height) is type(width) is int and 0 < height * width <= MAX_PIXELS
        for caption in record.get("captions", ()):
            caption.encode()
        for annotation in record.get("annotations", ()):
            check_annotation(annotation, len(dataset.category_names))


def check_annotation(annotation, categories):
    boxes = [annotation["bbox"], *annotation.get("boxes", ())]
    for number in chain.from_iterable(boxes):
        assert type(number) is float and math.isfinite(number) and abs(number) < 1e20
    assert all(len(box) == 4 for box in boxes)
    assert 0 <= annotation["category_id"] < categories
    hash(annotation.get("annotation_id"))
    for phrase in (annotation.get("phrase", ""), *annotation.get("phrases", ())):
        phrase.encode()
    for key in ("score", "area"):
        assert key not in annotation or math.isfinite(float(annotation[key]))
