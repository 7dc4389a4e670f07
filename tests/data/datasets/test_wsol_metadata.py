"""Metadata of the published evaluation of weakly supervised localisation, sound and damaged."""

import logging

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import decode_mask

PATHS = ("test/bird/a.jpg", "test/fish/b.jpg", "test/fish/c,d.jpg")


def write_metadata(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def tree(tmp_path):
    """Write three images of two classes, of 6 x 4 pixels, with the metadata of boxes."""
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / path)
    write_metadata(
        tmp_path / "meta",
        image_ids=PATHS,
        class_labels=[f"{path},{label}" for path, label in zip(PATHS, (2, 0, 0))],
        image_sizes=[f"{path},60,40" for path in PATHS],
        localization=[f"{PATHS[0]},1,2,30,40", f"{PATHS[2]},0,0,5,5", f"{PATHS[0]},3,4,50,6"],
    )
    return tmp_path


def spec_of(tree):
    return f"wsol:{tree}/meta:{tree}"


def save_mask(path, rows, columns, size=(4, 6), value=1):
    mask = np.zeros(size, np.uint8)
    mask[slice(*rows), slice(*columns)] = value
    Image.fromarray(mask).save(path)


def test_boxes(tree, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(spec_of(tree))
    assert dataset.labelled and dataset.category_names == ["0", "1", "2"]
    assert dataset.category_ids == [0, 1, 2]
    first, second, third = dataset.records
    boxes = [[1.0, 2.0, 30.0, 40.0], [3.0, 4.0, 50.0, 6.0]]
    assert first == {
        "file_name": str(tree / PATHS[0]),
        "relative_name": PATHS[0],
        "image_id": PATHS[0],
        "height": 40,  # as stated; the image is not opened
        "width": 60,
        "image_label": 2,
        "annotations": [
            {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 2, "iscrowd": 0}
            for box in boxes
        ],
    }
    assert second["annotations"] == [] and second["image_label"] == 0
    assert third["image_id"] == "test/fish/c,d.jpg"
    assert third["annotations"][0]["bbox"] == [0.0, 0.0, 5.0, 5.0]
    assert "1 images are not in localization.txt" in caplog.text
    assert files_of_spec(spec_of(tree)) == [f"{tree}/meta", str(tree)]


def test_masks_and_the_region_to_ignore(tree, caplog):
    save_mask(tree / "m1.png", (0, 2), (0, 3))
    save_mask(tree / "m2.png", (2, 6), (4, 12), size=(8, 12), value=255)  # twice the size
    save_mask(tree / "none.png", (0, 0), (0, 0))
    save_mask(tree / "ignore.png", (0, 4), (0, 3))
    lines = [f"{PATHS[0]},m1.png,ignore.png", f"{PATHS[0]},m2.png,", f"{PATHS[1]},none.png,"]
    write_metadata(tree / "meta", localization=lines, image_sizes=[])
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(spec_of(tree))
    first, second, third = dataset.records
    assert (first["height"], first["width"]) == (4, 6)  # from the header
    one, two, ignored = first["annotations"]
    assert one["bbox"] == [0, 0, 3, 2] and one["area"] == 6 and one["iscrowd"] == 0
    assert two["bbox"] == [2, 1, 6, 3] and two["area"] == 8
    assert ignored["iscrowd"] == 1 and ignored["category_id"] == 2
    # Of the ignored 4 x 3 pixels, the first mask covers 2 x 3, and the second one more.
    expected = np.zeros((4, 6), bool)
    expected[2:, :3] = True
    expected[2, 2] = False
    assert (decode_mask(ignored["segmentation"], (4, 6)) == expected).all()
    assert ignored["area"] == 5
    assert second["annotations"] == third["annotations"] == []
    assert "1 masks are empty" in caplog.text


def test_a_split_without_boxes_opens_no_image(tree):
    write_metadata(tree / "meta", localization=[])
    (tree / "meta/image_sizes.txt").unlink()
    for path in PATHS:
        (tree / path).unlink()
    dataset = load_spec(spec_of(tree))
    assert not dataset.labelled
    assert [(r["height"], r["image_label"]) for r in dataset.records] == [
        (None, n) for n in (2, 0, 0)
    ]
    assert "annotations" not in dataset.records[0]


def test_the_first_images_alone_are_read(tree):
    save_mask(tree / "m1.png", (0, 2), (0, 3))
    lines = [f"{PATHS[0]},m1.png,", f"{PATHS[1]},gone.png,"]
    write_metadata(tree / "meta", localization=lines)
    dataset = load_spec(f"{spec_of(tree)}+first=1")
    assert len(dataset.records) == 1 and dataset.category_names == ["0", "1", "2"]
    with pytest.raises(UserError, match="cannot read the mask '.*gone.png': no such file; unpack"):
        load_spec(spec_of(tree))


def test_lines_about_other_images_are_counted(tree, caplog):
    write_metadata(
        tree / "meta",
        image_ids=PATHS[:1],
        localization=[f"{path},1,2,3,4" for path in PATHS],
    )
    with caplog.at_level(logging.WARNING):
        assert len(load_spec(spec_of(tree)).records) == 1
    for name in ("class_labels", "image_sizes", "localization"):
        assert f"{name}.txt: 2 lines are about images that image_ids.txt does not" in caplog.text


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("image_ids", ["../a.jpg"], "leads out of the tree"),
        ("image_ids", [], "names no image"),
        ("class_labels", [f"{PATHS[0]},2"], "no class for 2 of 3 images, first 'test/fish/b.jpg'"),
        ("class_labels", [f"{PATHS[0]},two"], "line 1, has 'two'; a class is a number from 0"),
        ("class_labels", [f"{PATHS[0]},-1"], "line 1, has '-1'; a class"),
        ("class_labels", [f"{PATHS[0]},9999999"], "line 1, has '9999999'; a class"),
        ("class_labels", [PATHS[0]], "line 1, has ''; a class"),
        ("class_labels", [f"{PATHS[0]},1", f"{PATHS[0]},2"], "line 2, .*before was 1; keep one"),
        ("image_sizes", [f"{PATHS[0]},6"], "line 1, has '6'; a size is WIDTH,HEIGHT"),
        ("image_sizes", [f"{PATHS[0]},6,0"], "line 1, has '6,0'; a size is"),
        ("localization", [f"{PATHS[0]},1,2,3"], "expected X0,Y0,X1,Y1 or MASK,IGNORE"),
        ("localization", [f"{PATHS[0]},1,2,3,x"], "line 1, has '1,2,3,x'; a box is"),
        (
            "localization",
            [f"{PATHS[0]},1,2,3,4", f"{PATHS[0]},m.png,"],
            "has 'm.png,'; exp",
        ),
    ],
)
def test_damaged_lines(tree, file, lines, message):
    write_metadata(tree / "meta", **{file: lines})
    with pytest.raises(UserError, match=message) as error:
        load_spec(spec_of(tree))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["image_ids", "class_labels"])
def test_missing_files_and_folders(tree, name):
    (tree / f"meta/{name}.txt").unlink()
    with pytest.raises(UserError, match=f"{name}.txt' does not exist"):
        load_spec(spec_of(tree))
    with pytest.raises(UserError, match="WSOL metadata folder .*gone' does not exist"):
        load_spec(f"wsol:{tree}/gone:{tree}")
    with pytest.raises(UserError, match="WSOL image folder .*gone' does not exist"):
        load_spec(f"wsol:{tree}/meta:{tree}/gone")
