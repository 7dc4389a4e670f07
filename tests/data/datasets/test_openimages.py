"""Open Images trees, valid and damaged."""

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.openimages import load_openimages
from boxrefine_d2.errors import UserError

# All columns of the official table in their order: XMax comes before YMin.
HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
CLASSES = '/m/011k07,Tortoise\n/m/01g317,"Person, standing"\n'
LINES = """\
0001eeaf4aed83f9,xclick,/m/01g317,1,0.25,0.75,0.1,0.5,0,0,0,0,0
0001eeaf4aed83f9,xclick,/m/011k07,1,0.0,1.0,0.0,1.0,1,1,1,0,0
ffff21932da3ed01,activemil,/m/011k07,1,0.5,0.625,0.2,0.3,0,0,-1,0,0
"""
TABLE = "annotations/validation-annotations-bbox.csv"
NAMES = "annotations/class-descriptions-boxable.csv"


def write_openimages(root, lines=LINES, header=HEADER):
    for folder in ("annotations", "validation"):
        (root / folder).mkdir(parents=True)
    (root / TABLE).write_text(f"{header}\n{lines}")
    (root / NAMES).write_text(CLASSES)
    for name in ("ffff21932da3ed01", "0001eeaf4aed83f9", "0ab1000000000000"):
        Image.new("RGB", (80, 40)).save(root / "validation" / f"{name}.jpg")
    return root


def test_records(tmp_path):
    dataset = load_openimages(write_openimages(tmp_path), "validation")
    assert [r["image_id"] for r in dataset.records] == [
        "0001eeaf4aed83f9",
        "0ab1000000000000",
        "ffff21932da3ed01",
    ]
    first, second, third = dataset.records
    assert (first["height"], first["width"]) == (40, 80)
    assert first["relative_name"] == "0001eeaf4aed83f9.jpg"
    assert first["file_name"] == str(tmp_path / "validation" / "0001eeaf4aed83f9.jpg")
    person, group = first["annotations"]
    assert person["bbox"] == [20.0, 4.0, 60.0, 20.0]
    assert (person["category_id"], person["iscrowd"]) == (1, 0)
    assert group["bbox"] == [0.0, 0.0, 80.0, 40.0]
    assert (group["category_id"], group["iscrowd"]) == (0, 1)
    assert second["annotations"] == []
    assert third["annotations"][0]["bbox"] == pytest.approx([40.0, 8.0, 50.0, 12.0])
    assert third["annotations"][0]["iscrowd"] == 0  # -1: unknown
    assert dataset.category_names == ["Tortoise", "Person, standing"]
    assert dataset.category_ids == [1, 2]


def test_missing_and_damaged_images_are_refused(tmp_path):
    write_openimages(tmp_path)
    image = tmp_path / "validation" / "ffff21932da3ed01.jpg"
    image.write_bytes(b"not an image")
    with pytest.raises(UserError, match="ffff21932da3ed01.jpg"):
        load_openimages(tmp_path, "validation")
    image.unlink()
    with pytest.raises(
        UserError, match="1 of the 2 images .*bbox.csv.*first 'ffff21932da3ed01.jpg'"
    ):
        load_openimages(tmp_path, "validation")


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (
            "a,x,/m/9,1,0,1,0,1,0,0,0,0,0\n",
            HEADER,
            "line 2 has the label '/m/9', which class-descr",
        ),
        ("a,x,/m/011k07,1,0,1,0,nan,0,0,0,0,0\n", HEADER, "line 2 has the box .*four numbers"),
        ("a,x,/m/011k07,1,0,1\n", HEADER, "line 2 has 6 columns, the header 13"),
        ("", HEADER.replace("XMin", "xmin"), "has no column XMin$"),
        ("", "", "has no column ImageID, LabelName"),
    ],
)
def test_other_tables_are_refused(tmp_path, lines, header, message):
    write_openimages(tmp_path, lines, header)
    with pytest.raises(UserError, match=message):
        load_openimages(tmp_path, "validation")


@pytest.mark.parametrize("part", [TABLE, NAMES])
def test_missing_tables(tmp_path, part):
    write_openimages(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(UserError, match=f"table '.*{part}' does not exist"):
        load_openimages(tmp_path, "validation")


def test_errors_name_the_folder_or_the_table(tmp_path):
    write_openimages(tmp_path)
    with pytest.raises(UserError, match="folder .*/test' does not exist"):
        load_openimages(tmp_path, "test")
    (tmp_path / NAMES).write_text("/m/011k07\n")
    with pytest.raises(UserError, match="line 1: expected a label and a name"):
        load_openimages(tmp_path, "validation")
    (tmp_path / NAMES).write_text("")
    with pytest.raises(UserError, match="is empty"):
        load_openimages(tmp_path, "validation")
