"""Class of an image, and the modifiers +one_class and +classes."""

import json
import logging

import pytest
from PIL import Image

from boxrefine_d2.data.dataset_spec import Modifier, load_spec, parse_spec
from boxrefine_d2.data.image_labels import known_label, label_of
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.errors import UserError

# image -> (category, crowd) of its objects
OBJECTS = {
    1: [("dog", 0), ("dog", 0), ("cup", 1)],
    2: [("dog", 0), ("cup", 0)],
    3: [],
    4: [("cup", 0)],
    5: [("dog", 1)],
    6: [("a,b+c", 0), ("dog", 0)],
}
CATEGORIES = {"cup": 9, "dog": 5, "a,b+c": 11}  # numbered by id: dog, cup, a,b+c


@pytest.fixture
def coco(tmp_path):
    """Return the spec of a COCO file with the objects above."""
    (tmp_path / "images").mkdir()
    document = {
        "images": [
            {"id": key, "file_name": f"{key}.png", "height": 4, "width": 6} for key in OBJECTS
        ],
        "annotations": [
            {"image_id": k, "category_id": CATEGORIES[name], "bbox": [0, 0, 2, 2], "iscrowd": crowd}
            for k, objects in OBJECTS.items()
            for name, crowd in objects
        ],
        "categories": [{"id": key, "name": name} for name, key in CATEGORIES.items()],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return f"coco:{tmp_path}/labels.json:{tmp_path}/images"


@pytest.fixture
def folders(tmp_path):
    """Return the spec of three class folders with one image each."""
    for name in ("cat", "dog", "eel"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        Image.new("RGB", (6, 4)).save(tmp_path / "sets" / name / "1.png")
    return f"classes:{tmp_path}/sets"


def ids(dataset):
    return [record["image_id"] for record in dataset.records]


def test_label_of_a_record(coco):
    records = {record["image_id"]: record for record in load_spec(coco).records}
    assert [known_label(records[key]) for key in OBJECTS] == [0, None, None, 1, None, None]
    assert label_of(records[2] | {"image_label": 2}) == 2
    assert label_of(records[4]) == 1
    with pytest.raises(UserError, match=r"'2.png' .*objects of 2 classes; add \+one_class"):
        label_of(records[2])
    with pytest.raises(UserError, match=r"'3.png' .*no objects; add \+one_class"):
        label_of(records[3])
    with pytest.raises(UserError, match="'x.png' .*no objects"):
        label_of({"file_name": "x.png"})


def test_one_class(coco, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(f"{coco}+one_class")
    assert ids(dataset) == [1, 4]
    assert [record["image_label"] for record in dataset.records] == [0, 1]
    assert len(dataset.records[0]["annotations"]) == 3  # the crowd of another class stays
    assert dataset.category_names == ["dog", "cup", "a,b+c"]
    assert (
        "+one_class leaves out 4 of 6 images (2 without objects, 2 with objects of several classes)"
        in caplog.text
    )
    assert "image_label" not in load_spec(coco).records[0]


def test_one_class_keeps_a_label_of_the_source(folders, tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "cat/1.png", "height": 4, "width": 6}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "eel"}],
    }
    (tmp_path / "sets/annotations.json").write_text(json.dumps(document))
    (record,) = load_spec(f"{folders}+one_class").records
    assert record["relative_name"] == "cat/1.png" and record["image_label"] == 0
    assert record["annotations"][0]["category_id"] == 2


def test_one_class_needs_objects(coco, folders):
    with pytest.raises(UserError, match=r"^\+one_class asks for the classes of labelled objects"):
        load_spec(f"{folders}+one_class")
    with pytest.raises(UserError, match=r"^\+one_class leaves none of 2 images: 1 without .*, 1 "):
        load_spec(f"{coco}+first=3+not_every=4+one_class")


def test_classes_alone(coco, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(f"{coco}+classes=cup")
    assert dataset.category_names == ["cup"] and dataset.category_ids == [9]
    # 1 has a crowd of cups alone, which is no object
    assert ids(dataset) == [2, 4]
    assert [[a["category_id"] for a in r["annotations"]] for r in dataset.records] == [[0], [0]]
    assert "+classes=cup leaves out 4 of 6 images (none of these classes)" in caplog.text


def test_classes_keep_the_order_of_the_data_set(coco):
    for names in ("a%2Cb%2Bc,dog", "dog,a%2cb%2Bc", "dog, a%2Cb%2Bc,dog"):
        dataset = load_spec(f"{coco}+classes={names}")
        assert dataset.category_names == ["dog", "a,b+c"] and dataset.category_ids == [5, 11]
        assert ids(dataset) == [1, 2, 6]
        assert [a["category_id"] for a in dataset.records[-1]["annotations"]] == [1, 0]


def test_classes_of_images(folders):
    dataset = load_spec(f"{folders}+classes=eel,cat")
    assert dataset.category_names == ["cat", "eel"] and dataset.category_ids == [1, 3]
    assert [(r["relative_name"], r["image_label"]) for r in dataset.records] == [
        ("cat/1.png", 0),
        ("eel/1.png", 1),
    ]


def test_an_image_that_stays_for_its_objects_loses_its_label(folders, tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "cat/1.png", "height": 4, "width": 6}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "eel"}],
    }
    (tmp_path / "sets/annotations.json").write_text(json.dumps(document))
    dataset = load_spec(f"{folders}+classes=dog,eel")
    assert [r["relative_name"] for r in dataset.records] == ["cat/1.png", "dog/1.png", "eel/1.png"]
    assert "image_label" not in dataset.records[0] and label_of(dataset.records[0]) == 1
    assert [r["image_label"] for r in dataset.records[1:]] == [0, 1]


def test_unknown_classes_and_data_without_classes(coco, folders, tmp_path):
    with pytest.raises(
        UserError, match="no class 'Cups'; did you mean 'cup'. known: dog, cup, a,b.c"
    ):
        load_spec(f"{coco}+classes=dog,Cups")
    with pytest.raises(UserError, match="asks for classes, and the data set has none"):
        load_spec(f"folder:{tmp_path}/sets+classes=dog")
    with pytest.raises(UserError, match=r"\+classes=dog leaves none of 1 images"):
        load_spec(f"{coco}+not_every=2+not_every=2+classes=dog")


def test_many_known_classes_are_cut_short(tmp_path):
    for number in range(23):
        (tmp_path / f"c{number:02d}").mkdir()
        Image.new("RGB", (6, 4)).save(tmp_path / f"c{number:02d}/1.png")
    with pytest.raises(UserError, match="known: c00, .*, c19 and 3 more$"):
        load_spec(f"classes:{tmp_path}+classes=zebra")


def test_agnostic_and_pseudo_labels_replace_the_classes(folders, tmp_path):
    agnostic = load_spec(f"{folders}+agnostic")
    assert agnostic.category_names == ["object"]
    assert [record["image_label"] for record in agnostic.records] == [0, 0, 0]
    images = [{"id": 1, "file_name": "cat/1.png", "height": 4, "width": 6}]
    write_pseudo_labels(tmp_path / "p.json", images=images, annotations=[], info={})
    pseudo = load_spec(f"{folders}+pseudo={tmp_path}/p.json")
    assert pseudo.category_names == ["object"]
    assert not any("image_label" in record for record in pseudo.records)


@pytest.mark.parametrize("names", [("a",), ("a,b", "c+d:e"), ("50%25", "x%2cy", "%2B")])
def test_classes_of_a_spec_survive_a_round_trip(names):
    modifier = Modifier("classes", names)
    spec = parse_spec(f"scenes:val+{modifier}")
    assert spec.modifiers == (modifier,)
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("classes", r"needs a value: \+classes=A,B,\.\.\."),
        ("classes=", r"needs a value: \+classes=A,B,\.\.\."),
        ("classes=a,,b", "empty class name; separate the names by one comma"),
        ("one_class=3", r"\+one_class takes no value"),
        ("one_clas", r"did you mean \+one_class\?"),
    ],
)
def test_bad_forms(part, message):
    with pytest.raises(UserError, match=message):
        parse_spec(f"scenes:val+{part}")
