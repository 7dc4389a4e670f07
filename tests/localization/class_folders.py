"""A folder of class folders with a bright rectangle in each image, for runs of a few steps."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 230), "green": (30, 200, 40), "red": (230, 50, 30)}
WIDTH, HEIGHT = 48, 40


def write_class_folders(root: Path, each: int = 6, classes=tuple(COLOURS)) -> Path:
    """Write `each` images of every class, and the boxes of their rectangles as a COCO file."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for category, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for place in range(each):
            pixels = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            x, y = int(rng.integers(4, 24)), int(rng.integers(4, 20))
            pixels[y : y + 16, x : x + 20] = COLOURS[name]
            file = f"{name}/{place}.png"
            Image.fromarray(pixels).save(root / file)
            number = len(images) + 1
            images.append({"id": number, "file_name": file, "width": WIDTH, "height": HEIGHT})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": category + 1,
                    "bbox": [x, y, 20, 16],
                }
            )
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return root
