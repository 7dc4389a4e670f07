"""Loader of the densely annotated videos of UVO (Wang et al., arXiv:2104.04691), frame by frame.

UVO also has frames annotated once per second (FrameSet/UVO_frame_val.json), an ordinary COCO file.
The dense set (VideoDenseSet) describes videos: every annotation has a list over frames.
"""

import os
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_json
from boxrefine_d2.files.values import is_id, shown_value
from boxrefine_d2.masks.segmentation import checked_rle, plain_segmentation

from ..records import LoadedDataset
from .coco import dataset_of_document

Document = dict[str, Any]


def load_uvo_dense(
    json_path: str | os.PathLike[str], frames_dir: str | os.PathLike[str]
) -> LoadedDataset:
    """Return a record for each frame of each video, in the order of the file.

    The file has no ids of frames. This function numbers the frames and their annotations 1..n. An
    object has an annotation in every frame in which it has a mask or a box. If the file lacks the
    box, the bounding box of the mask takes its place.

    Args:   frames_dir: folder to which the `file_names` of a video are relative ("VIDEO/0.png").
    Raises: UserError for a missing or damaged file, or an annotation that does not fit its video.
    """
    path = Path(json_path)
    return dataset_of_document(_by_frame(_read_videos(path), path), path, Path(frames_dir))


def _read_videos(path: Path) -> Document:
    document = read_json(path, "UVO file")
    keys = ("videos", "annotations", "categories")
    if not isinstance(document, dict) or not all(
        _is_list_of_objects(document.get(k)) for k in keys
    ):
        raise UserError(
            f"{str(path)!r} is not a file of UVO's videos: {', '.join(keys)} must be lists of "
            "objects"
        )
    return document


def _by_frame(document: Document, path: Path) -> Document:
    """Return the COCO document of all frames."""
    images: list[Document] = []
    frames: dict[Any, list[int]] = {}  # video id -> image ids
    for video in document["videos"]:
        names, video_id = video.get("file_names"), video.get("id")
        if not is_id(video_id):
            raise UserError(
                f"UVO file {str(path)!r}: a video has the id {shown_value(video_id)}; "
                "it must be an integer or a string"
            )
        if not isinstance(names, list) or not names:
            raise UserError(f"UVO file {str(path)!r}: video {video_id!r} has no file_names")
        if video_id in frames:
            raise UserError(f"UVO file {str(path)!r}: two videos have the id {video_id!r}")
        first = len(images) + 1
        frames[video_id] = list(range(first, first + len(names)))
        size = {"height": video.get("height"), "width": video.get("width")}
        images += [{"id": first + i, "file_name": name, **size} for i, name in enumerate(names)]
    annotations: list[Document] = []
    for track in document["annotations"]:
        video_id = track.get("video_id")
        image_ids = frames.get(video_id) if is_id(video_id) else None
        annotations += _track_annotations(track, image_ids, path)
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {"images": images, "annotations": annotations, "categories": document["categories"]}


def _track_annotations(track: Document, image_ids: list[int] | None, path: Path) -> list[Document]:
    """Return the annotations of one object, one for each frame that shows it."""
    where = f"UVO file {str(path)!r}: annotation {shown_value(track.get('id'))}"
    if image_ids is None:
        raise UserError(
            f"{where} is of video {shown_value(track.get('video_id'))}, which does not exist"
        )
    nothing = [None] * len(image_ids)
    masks, boxes = track.get("segmentations") or nothing, track.get("bboxes") or nothing
    for name, values in (("segmentations", masks), ("bboxes", boxes)):
        if not isinstance(values, list) or len(values) != len(image_ids):
            raise UserError(
                f"{where}: its video has {len(image_ids)} frames; "
                f"{name} must have one entry for each"
            )
    shared = {"category_id": track.get("category_id"), "iscrowd": track.get("iscrowd", 0)}
    return [
        {
            "image_id": image_id,
            "bbox": _mask_box(mask, where) if box is None else box,
            "segmentation": mask,
            **shared,
        }
        for image_id, mask, box in zip(image_ids, masks, boxes)
        if mask is not None or box is not None
    ]


def _mask_box(mask: Any, where: str) -> list[float]:
    plain = plain_segmentation(mask)
    try:
        if not isinstance(plain, dict):
            raise ValueError("it is no RLE")
        box: list[float] = mask_codec.toBbox(checked_rle(plain, tuple(plain["size"]))).tolist()
        return box
    except ValueError as error:
        raise UserError(f"{where} has a segmentation without a valid box: {error}") from error


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
