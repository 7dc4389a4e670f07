"""UVO's dense videos, loaded frame by frame."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data.datasets.uvo import load_uvo_dense
from boxrefine_d2.errors import UserError


def rle(rows, columns):
    """Encode a filled rectangle in a frame of 6 x 8 (H x W) pixels."""
    mask = np.zeros((6, 8), np.uint8, order="F")
    mask[rows, columns] = 1
    encoded = mask_codec.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


def small_document():
    """Return a document with video 7 of two frames and video 3 of one frame.

    One object leaves after the first frame, one has no boxes, and one is a crowd.
    """
    masks = [rle(slice(1, 3), slice(2, 6)), rle(slice(0, 6), slice(0, 1))]
    return {
        "videos": [
            {"id": 7, "file_names": ["b/0.png", "b/1.png"], "height": 6, "width": 8, "ytid": "b"},
            {"id": 3, "file_names": ["a/0.png"], "height": 6, "width": 8, "ytid": "a"},
        ],
        "annotations": [
            {"id": 50, "video_id": 7, "category_id": 1, "segmentations": [masks[0], None],
             "bboxes": [[2, 1, 4, 2], None], "iscrowd": 0},
            {"id": 51, "video_id": 7, "category_id": 1, "segmentations": masks, "iscrowd": 0},
            {"id": 52, "video_id": 3, "category_id": 1, "segmentations": None,
             "bboxes": [[0, 0, 8, 6]], "iscrowd": 1},
        ],
        "categories": [{"id": 1, "name": "object"}],
    }  # fmt: skip


def write_uvo(folder, document):
    (folder / "frames").mkdir(exist_ok=True)
    path = folder / "UVO_video_val_dense.json"
    path.write_text(json.dumps(document))
    return path, folder / "frames"


def test_a_record_for_each_frame(tmp_path):
    path, frames = write_uvo(tmp_path, small_document())
    dataset = load_uvo_dense(path, frames)
    assert [r["image_id"] for r in dataset.records] == [1, 2, 3]
    assert [r["relative_name"] for r in dataset.records] == ["b/0.png", "b/1.png", "a/0.png"]
    assert dataset.records[1]["file_name"] == str(frames / "b/1.png")
    assert (dataset.records[2]["height"], dataset.records[2]["width"]) == (6, 8)
    boxes = [[a["bbox"] for a in r["annotations"]] for r in dataset.records]
    # The second object has no boxes in the file. Its masks cover rows 1-2 and columns 2-5, then
    # column 0 alone.
    assert boxes == [[[2, 1, 6, 3], [2, 1, 6, 3]], [[0, 0, 1, 6]], [[0, 0, 8, 6]]]
    assert [a["iscrowd"] for r in dataset.records for a in r["annotations"]] == [0, 0, 0, 1]
    assert [a["annotation_id"] for r in dataset.records for a in r["annotations"]] == [1, 2, 3, 4]
    mask = mask_codec.decode(dataset.records[1]["annotations"][0]["segmentation"])
    assert mask.sum() == 6 and mask[:, 0].all()
    assert "segmentation" not in dataset.records[2]["annotations"][0]
    assert dataset.category_names == ["object"]


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("annotations", {"video_id": 8}, "annotation 50 is of video 8, which does not exist"),
        ("annotations", {"bboxes": [[2, 1, 4, 2]]},
         "50: its video has 2 frames; bboxes must have one entry for each"),
        ("annotations", {"segmentations": 5}, "2 frames; segmentations must have"),
        ("annotations",
         {"bboxes": None, "segmentations": [{"size": [6, 8], "counts": [47]}, None]},
         "a segmentation without a valid box"),
        ("annotations", {"category_id": 2}, "category_id 2, and no category"),
        ("videos", {"file_names": []}, "video 7 has no file_names"),
        ("videos", {"id": 3}, "two videos have the id 3"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_their_video_are_refused(tmp_path, part, changes, message):
    document = small_document()
    document[part][0].update(changes)
    with pytest.raises(UserError, match=message):
        load_uvo_dense(*write_uvo(tmp_path, document))


def test_other_files_are_refused(tmp_path):
    path, frames = write_uvo(tmp_path, {"images": [], "annotations": [], "categories": []})
    with pytest.raises(UserError, match="not a file of UVO's videos: videos, annotations"):
        load_uvo_dense(path, frames)
    path.write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        load_uvo_dense(path, frames)
    with pytest.raises(UserError, match="gone.json' does not exist"):
        load_uvo_dense(tmp_path / "gone.json", frames)
    with pytest.raises(UserError, match="image folder .*nowhere"):
        load_uvo_dense(write_uvo(tmp_path, small_document())[0], tmp_path / "nowhere")
