"""VOC trees, valid and damaged."""

import logging

import pytest
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data.datasets.voc import VOC_CLASS_NAMES, load_voc
from boxrefine_d2.errors import UserError

SIZE = "<size><width>{w}</width><height>{h}</height><depth>3</depth></size>"
OBJECT = """<object><name>{name}</name>{flags}
<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"""


def _object(name, box, flags=""):
    return OBJECT.format(name=name, box=box, flags=flags)


def write_voc(tree):
    """Write a tree of three images.

    000005 has a difficult dog and a cat. 000007 has no object, and no size in the XML. 000009 has a
    boat whose box has decimals.
    """
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tree / folder).mkdir(parents=True)
    (tree / "ImageSets/Main/trainval.txt").write_text("000005\n000007\n000009\n")
    (tree / "ImageSets/Main/val.txt").write_text("000009\n")
    (tree / "ImageSets/Main/dog_val.txt").write_text("000009 -1\n")
    hard = "<truncated>1</truncated><difficult>1</difficult>"
    contents = {
        "000005": SIZE.format(w=50, h=40)
        + _object("dog", (1, 1, 50, 40), hard)
        + _object("cat", (11, 21, 30, 40), "<truncated>0</truncated><difficult>0</difficult>"),
        "000007": SIZE.format(w=0, h=0),
        "000009": SIZE.format(w=50, h=40) + _object("boat", (3.5, 4.5, 10.0, 20.0)),
    }
    for name, content in contents.items():
        xml = f"<annotation><filename>{name}.jpg</filename>{content}</annotation>"
        (tree / f"Annotations/{name}.xml").write_text(xml)
        Image.new("RGB", (50, 40)).save(tree / f"JPEGImages/{name}.jpg")
    return tree


def test_records(tmp_path):
    tree = write_voc(tmp_path / "VOC2007")
    records = load_voc(tree, "trainval")
    assert [record["image_id"] for record in records] == ["000005", "000007", "000009"]
    first = records[0]
    assert (first["height"], first["width"]) == (40, 50)
    assert first["file_name"] == str(tree / "JPEGImages" / "000005.jpg")
    assert first["relative_name"] == "JPEGImages/000005.jpg"
    dog, cat = first["annotations"]
    assert dog == {
        "bbox": [0.0, 0.0, 50.0, 40.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": VOC_CLASS_NAMES.index("dog"),
        "iscrowd": 0,
        "difficult": True,
        "truncated": True,
    }
    assert cat["bbox"] == [10.0, 20.0, 30.0, 40.0]
    assert (cat["difficult"], cat["truncated"]) == (False, False)


def test_size_comes_from_the_header_where_the_xml_has_none(tmp_path):
    tree = write_voc(tmp_path / "VOC2007")
    record = load_voc(tree, "trainval")[1]
    assert (record["height"], record["width"], record["annotations"]) == (40, 50, [])
    (tree / "JPEGImages/000007.jpg").unlink()
    record = load_voc(tree, "trainval")[1]
    assert (record["height"], record["width"]) == (None, None)


def test_decimals_and_missing_marks(tmp_path):
    (boat,) = load_voc(write_voc(tmp_path), "val")[0]["annotations"]
    assert boat["bbox"] == [2.5, 3.5, 10.0, 20.0]
    assert (boat["difficult"], boat["truncated"]) == (False, False)


def test_class_names_are_in_the_official_order():
    assert len(VOC_CLASS_NAMES) == 20
    assert (VOC_CLASS_NAMES[0], VOC_CLASS_NAMES[11], VOC_CLASS_NAMES[19]) == (
        "aeroplane",
        "dog",
        "tvmonitor",
    )


def test_root_may_be_above_the_tree(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2007")
    for root in (tmp_path, tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2007"):
        assert len(load_voc(root, "trainval")) == 3
    write_voc(tmp_path / "VOCdevkit" / "VOC2012")
    with pytest.raises(UserError, match="several trees.*VOC2007.*VOC2012"):
        load_voc(tmp_path, "trainval")
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets/Main/val.txt").unlink()
    assert len(load_voc(tmp_path, "val")) == 1  # only one tree has this split


def test_another_suffix_is_found_by_the_name_in_the_xml(tmp_path):
    tree = write_voc(tmp_path)
    path = tree / "Annotations/000009.xml"
    path.write_text(path.read_text().replace("000009.jpg", "000009.png"))
    (tree / "JPEGImages/000009.jpg").unlink()
    Image.new("RGB", (50, 40)).save(tree / "JPEGImages/000009.png")
    assert load_voc(tree, "val")[0]["relative_name"] == "JPEGImages/000009.png"


def _break(tree, part, text):
    (tree / part).write_text(text)


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("Annotations/000009.xml", "<annotation>", "cannot read VOC annotation .*000009.xml"),
        (
            "Annotations/000009.xml",
            f"<a>{_object('unicorn', (1, 1, 2, 2))}</a>",
            "image '000009' has the class 'unicorn', .*aeroplane.*voc:ROOT:SPLIT",
        ),
        (
            "Annotations/000009.xml",
            f"<a>{_object('dog', (1, 'x', 2, 2))}</a>",
            "'dog' without a complete bndbox",
        ),
        (
            "Annotations/000009.xml",
            f"<a>{_object('dog', (1, 'nan', 2, 2))}</a>",
            "'dog' without a complete bndbox",
        ),
        ("Annotations/000009.xml", "<a><object><name>dog</name></object></a>", "complete bndbox"),
        ("ImageSets/Main/val.txt", "\n", "names no image"),
        ("ImageSets/Main/val.txt", "000005\n000005\n", "'000005' twice"),
        ("ImageSets/Main/val.txt", "000006\n", "000006.xml' does not exist"),
    ],
)
def test_a_damaged_tree_gives_a_one_line_error(tmp_path, part, text, message):
    tree = write_voc(tmp_path)
    _break(tree, part, text)
    with pytest.raises(UserError, match=message) as caught:
        load_voc(tree, "val")
    assert "\n" not in str(caught.value)


def test_wrong_root_or_split(tmp_path):
    tree = write_voc(tmp_path / "VOC2007")
    with pytest.raises(UserError, match="does not exist"):
        load_voc(tmp_path / "nowhere", "val")
    with pytest.raises(UserError, match="not a VOC tree: looked for .*ImageSets/Main"):
        load_voc(tree / "Annotations", "val")
    with pytest.raises(UserError, match="no split 'vall'.*there are: trainval, val$"):
        load_voc(tree, "vall")
    with pytest.raises(UserError, match="lists of one class"):
        load_voc(tree, "dog_val")


def test_boxes_without_area_are_counted(tmp_path, caplog):
    tree = write_voc(tmp_path)
    _break(
        tree,
        "Annotations/000009.xml",
        f"<a>{_object('dog', (9, 9, 3, 3))}{_object('dog', (1, 1, 1, 1))}</a>",
    )
    with caplog.at_level(logging.WARNING):
        assert len(load_voc(tree, "val")[0]["annotations"]) == 2
    assert "1 boxes have no area" in caplog.text  # the box (1, 1, 1, 1) covers one pixel
