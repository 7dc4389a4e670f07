"""MS-COCO's captions, to train a heatmap of phrases on: images and what is said of them, no boxes.

coco/annotations/captions_{train,val}2014.json, coco/{train,val}2014/
"""

from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import encodable_text
from boxrefine_d2.files.values import is_id, shown_value

from ..records import LoadedDataset
from .coco import dataset_of_document, read_coco_document


def load_coco_captions(json_path: str | Path, image_dir: str | Path) -> LoadedDataset:
    """One record an image, by ascending id, with its `captions` in the order of the file; data without boxes.

    All images are kept, as in the code of "What is Where by Looking"; that of box-based refinement leaves out those
    without an object.

    Raises: UserError for a missing or damaged file, or a caption of an image that there is not.
    """
    path = Path(json_path)
    document = read_coco_document(path, "caption file")
    dataset = dataset_of_document({"images": document["images"]}, path, Path(image_dir))
    captions: dict[int | str, list[str]] = {record["image_id"]: [] for record in dataset.records}
    for entry in document.get("annotations", []):
        image_id, caption = entry.get("image_id"), entry.get("caption")
        if not is_id(image_id) or image_id not in captions or not isinstance(caption, str):
            raise UserError(
                f"caption file {str(path)!r}: annotation {shown_value(entry.get('id'))} is no caption of an image of the file"
            )
        captions[image_id].append(encodable_text(caption).strip())
    without = sum(not of_image for of_image in captions.values())
    if without == len(captions):
        raise UserError(f"caption file {str(path)!r}: none of its {without} images has a caption")
    for record in dataset.records:
        record["captions"] = captions[record["image_id"]]
    return dataset
