"""Loader of Visual Genome's regions, split as in MultiGrounding (Akbari et al., CVPR 2019).

    visual_genome/VG_Images/ID.jpg
    visual_genome/VG_Annotations/{region_descriptions.json,data_splits.pickle}

data_splits.pickle holds the image ids of "train" (90 599) and "test" (17 478). The test images are
those in COCO's validation part. The paper of box-based refinement states 77 398, 5 000 and 5 000
images, and no list of them is public.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_json
from boxrefine_d2.files.names import encodable_text
from boxrefine_d2.files.plain_pickle import read_plain_pickle
from boxrefine_d2.files.values import MAX_COORDINATE, is_id, is_number, is_whole, shown_value
from boxrefine_d2.progress import with_progress

from ..image_files import ImageFinder
from ..images import header_size
from ..records import LoadedDataset, Record

REGIONS = "VG_Annotations/region_descriptions.json"
SPLITS = "VG_Annotations/data_splits.pickle"
IMAGES = "VG_Images"
# A region must cover more than this share of the image (the papers' protocol).
MIN_AREA = 0.05
_BOX_KEYS = ("x", "y", "width", "height")
MAX_WORDS = 80  # a phrase must have fewer words, split at single spaces


def load_visual_genome(root: str | Path, split: str) -> LoadedDataset:
    """Return one record per image of the split by ascending id, with one annotation per region.

    An annotation has `phrase` in lower case and `annotation_id`. Regions with too long a phrase or
    too small a box are left out; an image may have no region left. Boxes are whole pixels and are
    not clipped.

    Raises: UserError for a missing or damaged file, or an unknown split.
    """
    folder = Path(root)
    wanted = _ids(folder / SPLITS, split)
    path = folder / REGIONS
    images = read_json(path, "region descriptions")
    if not isinstance(images, list) or not all(map(_is_image, images)):
        raise UserError(
            f"{str(path)!r} is no list of region descriptions: "
            "each image needs an id and a list of regions"
        )
    kept = sorted((i for i in images if i["id"] in wanted), key=lambda i: i["id"])
    twice = next((i["id"] for i, j in pairwise(kept) if i["id"] == j["id"]), None)
    if twice is not None:
        raise UserError(f"{str(path)!r}: two images have the id {twice}")
    finder = ImageFinder(folder / IMAGES)
    records = [_record(finder, image, str(path)) for image in with_progress(kept, "visual genome")]
    finder.report(path)
    return LoadedDataset(records, ["object"], [1])


def _is_image(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_whole(value.get("id"))
        and isinstance(value.get("regions"), list)
    )


def _ids(path: Path, split: str) -> set[int]:
    splits = read_plain_pickle(path)
    if not isinstance(splits, dict) or split not in splits:
        known = ", ".join(map(str, splits)) if isinstance(splits, dict) else "none"
        raise UserError(f"{str(path)!r} has no split {split!r}; it has {known}")
    try:
        return {int(image_id) for image_id in splits[split]}
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{str(path)!r}: split {split!r} is no list of image ids") from error


def _record(finder: ImageFinder, image: dict[str, Any], path: str) -> Record:
    name = finder.find(f"{image['id']}.jpg")
    file_name = str(finder.folder / name)
    height, width = header_size(file_name)
    least = MIN_AREA * (height or 0) * (width or 0)
    annotations = []
    for place, region in enumerate(image["regions"]):
        if not _is_region(region):
            raise UserError(
                f"{path!r}: region {place} of image {image['id']} is {shown_value(region)}; "
                "it must have a phrase, and x, y, width and height in pixels"
            )
        x, y, region_width, region_height = (int(region[key]) for key in _BOX_KEYS)
        if len(region["phrase"].split(" ")) < MAX_WORDS and region_width * region_height > least:
            region_id = region.get("region_id")
            annotations.append(
                {
                    "annotation_id": region_id if is_id(region_id) else place,
                    "phrase": encodable_text(region["phrase"]).lower(),
                    "bbox": [*map(float, (x, y, x + region_width, y + region_height))],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": 0,
                    "iscrowd": 0,
                }
            )
    return {
        "file_name": file_name,
        "relative_name": name,
        "image_id": image["id"],
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def _is_region(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("phrase"), str)
        and all(is_number(value.get(key), MAX_COORDINATE) for key in _BOX_KEYS)
    )
