"""Visual Genome's region descriptions, in the split of MultiGrounding (Akbari et al., CVPR 2019).

    visual_genome/VG_Images/ID.jpg
    visual_genome/VG_Annotations/{region_descriptions.json,data_splits.pickle}

data_splits.pickle holds the ids of "train" (90 599) and "test" (17 478); the test images are those in COCO's validation part.
The paper of box-based refinement states 77 398, 5 000 and 5 000, and no list of these is public.
"""

import json
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode
from tqdm import tqdm

from boxrefine_d2.data.images import header_size
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.plain_pickle import read_plain_pickle

REGIONS = "VG_Annotations/region_descriptions.json"
SPLITS = "VG_Annotations/data_splits.pickle"
IMAGES = "VG_Images"
MIN_AREA = 0.05  # share of the image that a region covers more than; the papers' protocol
MAX_WORDS = 80  # regions with as many or more, split at single spaces, are left out


def load_visual_genome(root: str | Path, split: str) -> LoadedDataset:
    """One record an image of the split, by ascending id, one annotation a region: `phrase` in lower case, `annotation_id`.

    Regions that are too long or too small are left out; an image may have none left. Boxes are whole pixels and are not
    clipped.

    Raises: UserError for a missing or damaged file, or an unknown split.
    """
    folder = Path(root)
    wanted = _ids(folder / SPLITS, split)
    path = folder / REGIONS
    try:
        images = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{str(path)!r} is not JSON: {error}") from error
    try:
        kept = sorted((i for i in images if i["id"] in wanted), key=lambda i: i["id"])
        records = [_record(folder, image) for image in tqdm(kept, "visual genome")]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{str(path)!r} is no list of region descriptions: {error!r}") from error
    return LoadedDataset(records, ["object"], [1])


def _ids(path: Path, split: str) -> set[int]:
    splits = read_plain_pickle(path)
    if not isinstance(splits, dict) or split not in splits:
        known = ", ".join(map(str, splits)) if isinstance(splits, dict) else "none"
        raise UserError(f"{str(path)!r} has no split {split!r}; it has {known}")
    return {int(image_id) for image_id in splits[split]}


def _record(root: Path, image: dict[str, Any]) -> Record:
    name = f"{image['id']}.jpg"
    file_name = str(root / IMAGES / name)
    height, width = header_size(file_name)
    least = MIN_AREA * (height or 0) * (width or 0)
    annotations = [
        {
            "annotation_id": region.get("region_id", place),
            "phrase": region["phrase"].lower(),
            "bbox": _corners(region),
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
        }
        for place, region in enumerate(image["regions"])
        if len(region["phrase"].split(" ")) < MAX_WORDS
        and int(region["width"]) * int(region["height"]) > least
    ]
    return {
        "file_name": file_name,
        "relative_name": name,
        "image_id": image["id"],
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def _corners(region: dict[str, Any]) -> list[float]:
    x, y, width, height = (int(region[key]) for key in ("x", "y", "width", "height"))
    return [float(x), float(y), float(x + width), float(y + height)]
