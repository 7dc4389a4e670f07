"""YOLO: a text file an image, a line a box, beside data.yaml.

    data.yaml       root, image list and class names, as Ultralytics' trainers read them
    classes.txt     the class names, a line each
    images.txt      ./images/a/b.jpg, a line an image: put or link the data set's folder at images/
    labels/a/b.txt  0 cx cy w h, shares of the image's width and height; empty for an image without boxes

The format has no place for scores.
"""

from pathlib import Path, PurePosixPath

import yaml

from boxrefine_d2.data.pseudo_label_file import OBJECT_NAME

from .format import Export, Format
from .labelled_images import LabelledImage
from .per_image import write_per_image

_HEAD = f"""# Pseudo labels: one class, "{OBJECT_NAME}". Put or link the folder of the images at images/ beside this file.
# "path" is where this file was written; change it when the folder moves.
"""


def write_yolo(export: Export, folder: Path) -> None:
    """Writes the format; see `Writer`."""
    write_per_image(folder / "labels", export.images, ".txt", _lines)
    names = (PurePosixPath("images", image.file_name) for image in export.images)
    _write_text(folder / "images.txt", "".join(f"./{name}\n" for name in names))
    _write_text(folder / "classes.txt", f"{OBJECT_NAME}\n")
    description = {
        "path": str(export.home),
        "train": "images.txt",
        "val": "images.txt",
        "nc": 1,
        "names": [OBJECT_NAME],
    }
    _write_text(
        folder / "data.yaml",
        _HEAD + yaml.safe_dump(description, sort_keys=False, allow_unicode=True),
    )


def _lines(image: LabelledImage) -> bytes:
    lines = []
    for box in image.boxes:
        x1, y1, x2, y2 = box.xyxy
        cx, cy = (x1 + x2) / 2 / image.width, (y1 + y2) / 2 / image.height
        w, h = (x2 - x1) / image.width, (y2 - y1) / image.height
        lines.append(f"0 {cx:.8f} {cy:.8f} {w:.8f} {h:.8f}\n")
    return "".join(lines).encode("ascii")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


YOLO = Format(write_yolo, frozenset({"data.yaml", "classes.txt", "images.txt", "labels"}))
