"""Folders with one folder per class, sound and damaged."""

import json
import logging

import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.errors import UserError

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


def write_image(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


@pytest.fixture
def pets(tmp_path):
    """Write two classes, of two images and one; the name of a third one begins with the first's."""
    for name in ("dog/deep/er/a.png", "dog/b.JPG", "cat/c.png", "cat big/d.png"):
        write_image(tmp_path / name)
    return tmp_path


def write_labels(root, images, annotations, categories=("dog", "cat")):
    document = {
        "images": [{"id": key, "file_name": name, **size} for key, name, size in images],
        "annotations": [
            {"id": place, "image_id": image, "category_id": category, "bbox": box, **more}
            for place, (image, category, box, more) in enumerate(annotations)
        ],
        "categories": [{"id": 10 * k, "name": name} for k, name in enumerate(categories)],
    }
    (root / "annotations.json").write_text(json.dumps(document))


def test_labels_are_the_sorted_names_of_the_folders(pets):
    write_image(pets / ".thumbs/x.png")
    write_image(pets / "dog/.hidden.png")
    (pets / "dog/deep/notes.txt").write_text("no image")
    (pets / "dog/empty/emptier").mkdir(parents=True)
    dataset = load_spec(f"classes:{pets}")
    assert dataset.category_names == ["cat", "cat big", "dog"]
    assert dataset.category_ids == [1, 2, 3]
    assert not dataset.labelled and dataset.other_files == {".txt": 1}
    # by relative path: a blank comes before a slash
    assert [(r["relative_name"], r["image_id"], r["image_label"]) for r in dataset.records] == [
        ("cat big/d.png", 1, 1),
        ("cat/c.png", 2, 0),
        ("dog/b.JPG", 3, 2),
        ("dog/deep/er/a.png", 4, 2),
    ]
    assert dataset.records[3] == {
        "file_name": str(pets / "dog/deep/er/a.png"),
        "relative_name": "dog/deep/er/a.png",
        "image_id": 4,
        "height": 4,
        "width": 6,
        "image_label": 2,
    }
    assert files_of_spec(f"classes:{pets}+first=1") == [str(pets)]


def test_the_first_images_know_all_classes(pets):
    dataset = load_spec(f"classes:{pets}+first=1")
    assert [r["relative_name"] for r in dataset.records] == ["cat big/d.png"]
    assert dataset.category_names == ["cat", "cat big", "dog"]


def test_an_unreadable_image_is_kept(pets):
    (pets / "dog/b.JPG").write_text("damaged")
    record = load_spec(f"classes:{pets}").records[2]
    assert (record["height"], record["width"], record["image_label"]) == (None, None, 2)


def test_boxes_and_masks_come_from_the_coco_file(pets, caplog):
    write_labels(
        pets,
        [
            (7, "dog/b.JPG", {}),
            (8, "cat\\c.png", {"height": 8, "width": 12}),
            (9, "cat/gone.png", {"height": 4, "width": 6}),
        ],
        [
            (7, 0, [1, 1, 2, 2], {"segmentation": SQUARE}),
            (7, 10, [0, 0, 1, 1], {"iscrowd": 1}),
            (8, 10, [2, 2, 2, 2], {}),
            (9, 0, [0, 0, 1, 1], {}),
        ],
    )
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(f"classes:{pets}")
    assert dataset.labelled and dataset.category_names == ["cat", "cat big", "dog"]
    assert dataset.other_files == {}  # the labels are no other file
    unlisted, cat, dog, unlisted_too = dataset.records
    assert unlisted["annotations"] == unlisted_too["annotations"] == []
    assert cat["annotations"] == [
        {
            "bbox": [2.0, 2.0, 4.0, 4.0],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": 0,
            "iscrowd": 0,
            "annotation_id": 2,
        }
    ]
    assert (cat["height"], cat["width"]) == (8, 12)  # the frame of its boxes, as the file states it
    assert [a["category_id"] for a in dog["annotations"]] == [2, 0]
    assert dog["annotations"][0]["segmentation"] == SQUARE
    assert (dog["height"], dog["width"], dog["image_id"], dog["image_label"]) == (4, 6, 3, 2)
    assert "1 images are not in the class folders and are left out, first 'cat/gone.png'" in (
        caplog.text
    )
    assert "2 images of the class folders are not listed and have no annotation" in caplog.text


def test_a_coco_file_without_annotations_labels_nothing(pets):
    (pets / "annotations.json").write_text('{"images": [{"id": 1, "file_name": "cat/c.png"}]}')
    dataset = load_spec(f"classes:{pets}")
    assert not dataset.labelled and "annotations" not in dataset.records[0]


def test_bad_coco_files(pets):
    image = [(1, "dog/b.JPG", {"height": 4, "width": 6})]
    write_labels(pets, image, [], categories=("Dog", "cat"))
    with pytest.raises(
        UserError, match="category 'Dog', and no class folder .*did you mean 'dog'. there are: cat"
    ):
        load_spec(f"classes:{pets}")
    write_labels(pets, [*image, (2, "dog/b.JPG", {"height": 4, "width": 6})], [])
    with pytest.raises(UserError, match="images 1 and 2 have one file_name, 'dog/b.JPG'"):
        load_spec(f"classes:{pets}")
    (pets / "annotations.json").write_text('{"images": [')
    with pytest.raises(UserError, match="annotations.json.* is not JSON"):
        load_spec(f"classes:{pets}")


def test_images_beside_the_folders_are_counted(pets, caplog):
    write_image(pets / "stray.png")
    with caplog.at_level(logging.WARNING):
        records = load_spec(f"classes:{pets}").records
    assert len(records) == 4 and records[0]["relative_name"] == "cat big/d.png"
    assert records[0]["image_id"] == 1
    assert "1 images are left out, because they lie beside the class folders" in caplog.text
    assert "'stray.png'" in caplog.text


@pytest.mark.parametrize(
    ("files", "folders", "message"),
    [
        (["a.png"], [], "no folder with images; move .* or write folder:DIR"),
        (["a.png"], ["cat", "dog/deep"], "no folder with images, only 2 folders without one"),
        (["cat/a.png", "dog/b.png"], ["eel", "fox"], "2 folders without an image: eel, fox; add"),
        (["cat/a.png"], [], "one class alone, 'cat'; add the folder of a second class"),
        (["cat/notes.txt"], [], "no image in folder .*1 other files"),
        ([], [], "no image in folder"),
    ],
)
def test_bad_folders_are_refused_with_the_remedy(tmp_path, files, folders, message):
    for name in files:
        write_image(tmp_path / name) if name.endswith("png") else (
            (tmp_path / name).parent.mkdir(),
            (tmp_path / name).write_text(""),
        )
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match=message) as error:
        load_spec(f"classes:{tmp_path}")
    assert "\n" not in str(error.value)


def test_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match="gone' does not exist"):
        load_spec(f"classes:{tmp_path}/gone")
