"""Loader of MS-COCO's captions: images with captions and without boxes, for training heatmaps.

coco/annotations/captions_{train,val}2014.json, coco/{train,val}2014/
"""

from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import encodable_text
from boxrefine_d2.files.values import is_id, shown_value

from ..records import LoadedDataset
from .coco import dataset_of_document, read_coco_document


def load_coco_captions(json_path: str | Path, image_dir: str | Path) -> LoadedDataset:
    """Return one record per image by ascending id, with `captions` in the order of the file.

    The records have no boxes. All images are kept, as in the code of "What is Where by Looking".
    The code of box-based refinement leaves out images without an object.

    Raises: UserError for a missing or damaged file, or a caption of an unknown image.
    """
    path = Path(json_path)
    document = read_coco_document(path, "caption file")
    dataset = dataset_of_document({"images": document["images"]}, path, Path(image_dir))
    captions: dict[int | str, list[str]] = {record["image_id"]: [] for record in dataset.records}
    for entry in document.get("annotations", []):
        image_id, caption = entry.get("image_id"), entry.get("caption")
        if not is_id(image_id) or image_id not in captions or not isinstance(caption, str):
            raise UserError(
                f"caption file {str(path)!r}: annotation {shown_value(entry.get('id'))} "
                "is no caption of an image of the file"
            )
        captions[image_id].append(encodable_text(caption).strip())
    without = sum(not texts for texts in captions.values())
    if without == len(captions):
        raise UserError(f"caption file {str(path)!r}: none of its {without} images has a caption")
    for record in dataset.records:
        record["captions"] = captions[record["image_id"]]
    return dataset
