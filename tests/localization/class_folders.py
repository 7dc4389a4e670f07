"""Folders of classes with a rectangle in each image, for runs of a few steps."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def class_folders(root: Path, names=("blue", "red"), count=3) -> Path:
    """Write images of a rectangle on noise, in a folder per class, and their boxes."""
    rng, images, annotations = np.random.default_rng(0), [], []
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 100, (56, 72, 3), dtype=np.uint8)
            y, x = rng.integers(4, 24, 2).tolist()
            pixels[y : y + 26, x : x + 34, 2 - 2 * label] = 240
            file_name = f"{name}/{number}.png"
            Image.fromarray(pixels).save(root / file_name)
            key = len(images) + 1
            images.append({"id": key, "file_name": file_name, "height": 56, "width": 72})
            place = {"id": key, "image_id": key, "category_id": label + 1, "bbox": [x, y, 34, 26]}
            annotations.append(place)
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(names)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return root
