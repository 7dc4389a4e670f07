"""Pseudo-labels with the classes of their images: the file, and what every reader makes of it."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from PIL import Image

from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.edit.commands import merge_labels, top_labels
from boxrefine_d2.pseudo_labels.edit.label_file import open_label_file
from boxrefine_d2.pseudo_labels.export import export_labels

CLASSES = [{"id": 3, "name": "owl"}, {"id": 7, "name": "bat"}]
LABELS = [(1, 7, 0.9), (1, 3, 0.4), (2, 3, 0.5)]  # image, category, score
INFO = {"software": "boxrefine_d2", "method": "cam"}


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two images with a file of their labels."""
    for number in (1, 2):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.png")
    write(tmp_path / "labels.json")
    return tmp_path


def write(path, categories=CLASSES, labels=LABELS, info=INFO):
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in (1, 2)]
    annotations = [
        {"image_id": image, "category_id": own, "bbox": [4, 5, 10, 20], "score": score}
        for image, own, score in labels
    ]
    write_pseudo_labels(
        path, images=images, annotations=annotations, info=info, categories=categories
    )


def classes_in(path):
    labels = read_pseudo_labels(path)
    assert list(labels.categories) == CLASSES
    return [(a["image_id"], a["category_id"]) for a in labels.annotations]


def test_the_file_keeps_the_class_of_each_label(folder):
    assert classes_in(folder / "labels.json") == [(1, 7), (1, 3), (2, 3)]
    file = open_label_file(folder / "labels.json")
    assert file.whole is None and list(file.categories) == CLASSES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [(1, 4, 0.9)]}, "image 1 has category_id 4"),
        ({"info": {"method": "cam"}}, "`info` lacks"),
        ({"categories": [*CLASSES, {"id": 7, "name": "cat"}]}, "two categories have one id"),
        ({"categories": [*CLASSES, {"id": 8, "name": "bat"}]}, "two categories have one name"),
        ({"categories": [*CLASSES, {"id": "a", "name": "bat"}]}, "a whole number as id"),
        ({"categories": []}, "there is no category"),
    ],
)
def test_a_file_that_no_reader_could_use_is_not_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "x.json", **changes)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("layout", [None, 1], ids=["by line", "whole"])
def test_ground_truth_is_refused(folder, layout):
    """Only `info` tells it from pseudo-labels."""
    content = json.loads((folder / "labels.json").read_text())
    del content["info"]["software"]
    (folder / "labels.json").write_text(json.dumps(content, indent=layout))
    for read in (read_pseudo_labels, open_label_file):
        with pytest.raises(UserError, match=r"ground truth with its own categories.*coco:JSON:DIR"):
            read(folder / "labels.json")


def test_a_label_of_an_unknown_class_is_refused(folder):
    text = (folder / "labels.json").read_text()
    (folder / "labels.json").write_text(text.replace('"category_id": 7', '"category_id": 1'))
    for read in (read_pseudo_labels, open_label_file):
        with pytest.raises(UserError, match="category_id 1; the file has no category of this id"):
            read(folder / "labels.json")


def test_a_dataset_spec_has_the_classes(folder):
    spec = f"folder:{folder}+pseudo={folder / 'labels.json'}"
    dataset = load_spec(spec)
    assert (dataset.category_names, dataset.category_ids) == (["owl", "bat"], [3, 7])
    found = [[a["category_id"] for a in record["annotations"]] for record in dataset.records]
    assert found == [[1, 0], [0]]
    assert load_spec(f"{spec}+agnostic").category_names == ["object"]


def test_an_edit_keeps_the_classes(folder):
    top_labels(folder / "labels.json", folder / "top.json", count=1)
    assert classes_in(folder / "top.json") == [(1, 7), (2, 3)]
    merged = folder / "merged.json"
    merge_labels(
        folder / "top.json", folder / "labels.json", merged, min_score=0.8, max_iou=0.5, area="box"
    )
    assert classes_in(merged) == [(1, 7), (2, 3)]


def test_files_of_other_classes_are_not_merged(folder):
    write(folder / "other.json", [CLASSES[0], {"id": 7, "name": "fox"}])
    with pytest.raises(UserError, match=r"'owl', 'bat'.*'owl', 'fox'.*same categories"):
        merge_labels(
            *(folder / "labels.json", folder / "other.json", folder / "x.json"),
            **{"min_score": 0.5, "max_iou": 0.5, "area": "box"},
        )


def test_exports_name_the_classes(folder):
    for name in ("yolo", "voc", "csv", "coco"):
        export_labels(folder / "labels.json", name, folder / name)
    lines = (folder / "yolo/labels/1.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0"]
    assert yaml.safe_load((folder / "yolo/data.yaml").read_text())["names"] == ["owl", "bat"]
    assert (folder / "yolo/classes.txt").read_text() == "owl\nbat\n"
    document = ElementTree.parse(folder / "voc/Annotations/1.xml")
    assert [element.text for element in document.iterfind("object/name")] == ["bat", "owl"]
    with (folder / "csv/boxes.csv").open(newline="") as file:
        assert [row["category"] for row in csv.DictReader(file)] == ["bat", "owl", "owl"]
    for file in ("annotations", "results"):
        content = json.loads((folder / f"coco/{file}.json").read_text())
        labels = content["annotations"] if file == "annotations" else content
        assert [label["category_id"] for label in labels] == [7, 3, 3]
    truth = json.loads((folder / "coco/annotations.json").read_text())
    assert truth["categories"] == CLASSES
