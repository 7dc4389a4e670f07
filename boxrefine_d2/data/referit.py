"""ReferIt (RefClef, split of UNC), as MultiGrounding (Akbari et al., CVPR 2019) keeps it.

    referit/annotations/{train,val,test}.pickle
    referit/ReferIt_Images/NN/images/ID.jpg          NN is the id divided by 1 000, in two digits

A pickle maps an image id, as text, to {"annotations": [{"query", "bbox": [[x1, y1, x2, y2]], "ref_id", ...}], ...}.
"""

from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode
from tqdm import tqdm

from boxrefine_d2.data.images import header_size
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.plain_pickle import read_plain_pickle

ANNOTATIONS, IMAGES = "annotations", "ReferIt_Images"
MIN_AREA = 0.05  # share of the image that a query's box covers more than; the papers' protocol


def load_referit(root: str | Path, split: str) -> LoadedDataset:
    """One record an image, by ascending id, one annotation a query: `phrase`, `annotation_id`.

    Queries of small boxes are left out; an image may have none left.

    Raises: UserError for a missing or damaged file.
    """
    path = Path(root) / ANNOTATIONS / f"{split}.pickle"
    images = read_plain_pickle(path)
    try:
        pairs = sorted(images.items(), key=lambda pair: int(pair[0]))
        records = [
            _record(Path(root), int(key), image["annotations"])
            for key, image in tqdm(pairs, "referit")
        ]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{str(path)!r} does not hold ReferIt's annotations: {error!r}") from error
    return LoadedDataset(records, ["object"], [1])


def _record(root: Path, image_id: int, queries: list[dict[str, Any]]) -> Record:
    name = f"{image_id // 1000:02d}/images/{image_id}.jpg"
    file_name = str(root / IMAGES / name)
    height, width = header_size(file_name)
    least = MIN_AREA * (height or 0) * (width or 0)
    annotations = []
    for place, query in enumerate(queries):
        x1, y1, x2, y2 = map(float, query["bbox"][0])
        if (x2 - x1) * (y2 - y1) > least:
            annotations.append(
                {
                    "annotation_id": place,
                    "phrase": query["query"],
                    "bbox": [x1, y1, x2, y2],
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": 0,
                    "iscrowd": 0,
                }
            )
    return {
        "file_name": file_name,
        "relative_name": name,
        "image_id": image_id,
        "height": height,
        "width": width,
        "annotations": annotations,
    }
