import logging
import xml.etree.ElementTree as ElementTree

import pytest

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.pseudo_labels.export import export_labels


@pytest.fixture
def exported(label_file, tmp_path):
    export_labels(label_file(), "voc", tmp_path / "out")
    return tmp_path / "out"


def test_corners_count_from_one_and_include_the_last_pixel(exported):
    """The box covers columns 30..39 and rows 10..29, counted from 0."""
    root = ElementTree.parse(exported / "Annotations/a.xml").getroot()
    corners = {element.tag: element.text for element in root.find("object/bndbox")}
    assert corners == {"xmin": "31", "ymin": "11", "xmax": "40", "ymax": "30"}
    assert [root.findtext(f"size/{name}") for name in ("width", "height", "depth")] == [
        *("40", "30", "3")
    ]
    assert root.findtext("filename") == "a.jpg"
    assert root.findtext("object/name") == "object"


def test_sides_between_pixels_are_decimals(exported):
    root = ElementTree.parse(exported / "Annotations/cats/a.xml").getroot()
    first = [element.text for element in root.find("object/bndbox")]
    assert first == ["2.25", "3.5", "11.45", "10.6"]


def test_round_trip_through_our_reader(label_file, tmp_path):
    export_labels(label_file(), "voc", tmp_path / "out")
    dataset = load_spec(f"voc:{tmp_path / 'out'}:trainval")
    assert (dataset.category_names, dataset.category_ids) == (["object"], [1])
    records = dataset.records
    assert [record["image_id"] for record in records] == ["a", "cats/a", "dogs/old ones/a"]
    assert [(r["width"], r["height"]) for r in records] == [(40, 30), (17, 23), (20, 10)]
    whole, between, none = ([a["bbox"] for a in record["annotations"]] for record in records)
    assert whole == [[30, 10, 40, 30]]
    assert between[0] == pytest.approx([1.25, 2.5, 11.45, 10.6], abs=1e-6)
    assert between[1] == [0, 0, 4, 5]
    assert none == []


def test_names_with_spaces_are_reported(label_file, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        export_labels(label_file(), "voc", tmp_path / "out")
    assert "1 images have spaces in their names" in caplog.text
    assert "dogs/old ones/a\n" in (tmp_path / "out/ImageSets/Main/trainval.txt").read_text()
