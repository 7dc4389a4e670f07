"""Exports, read by the rules of the tools that users open them with; the rules are written here."""

import csv
import io
import json
import os
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.export import export_labels

# data sets as people keep them: flat, nested, train and valid, below a folder "images", and with
# unusual names
TREES = {
    "flat": ["a.jpg", "b.png"],
    "nested": ["cats/a.jpg", "dogs/old ones/a.jpg"],
    "train_valid": ["train/images/a.jpg", "valid/images/a.jpg"],
    "own_images": ["images/train/a.jpg", "images/val/a.jpg"],
    "images_twice": ["images/set 1/images/a.jpg", "images/b.jpg"],
    "mixed": ["a.jpg", "train/images/a.jpg"],
    "names": ["a b#1.JPG", "каф é 中.jpeg", "v1.2/a.b.c.jpg", "images.old/a.jpg", "it's.jpg"],
}


def labels_of(names):
    """Return (images, annotations): the box of image n is n pixels wide."""
    images = [
        {"id": n, "file_name": name, "width": 40, "height": 30}
        for n, name in enumerate(names, start=1)
    ]
    boxes = [{"image_id": i["id"], "score": 0.5, "bbox": [0, 0, i["id"], 3]} for i in images]
    return images, boxes


def yolo_reads(folder):
    """Return {listed image: widths of its boxes in pixels}, by the rule of YOLO's trainers.

    A line "./x" stands for x below the list's folder. In an image's path, the trainers replace the
    last "/images/" by "/labels/", and the text behind the last point by "txt". They take an image
    without a label file for one without objects; here the file must exist.
    """
    description = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert description["path"] == str(folder)
    widths = {}
    for line in (folder / description["train"]).read_text(encoding="utf-8").strip().splitlines():
        assert line.startswith("./")
        image = os.path.join(description["path"], line[2:])
        head, mark, tail = image.rpartition("/images/")
        label = f"{head}/labels/{tail}" if mark else image
        label = label[: label.rindex(".")] + ".txt"
        assert os.path.isfile(label), f"no labels for {line}"
        with open(label) as file:
            widths[line[2:]] = [round(float(row.split()[3]) * 40) for row in file]
    return widths


@pytest.mark.parametrize("tree", TREES)
def test_yolo_trainers_find_the_labels_of_every_image(label_file, tmp_path, tree):
    names = TREES[tree]
    # a folder "images" above the output must not mislead the trainers
    output = tmp_path / "images" / "out"
    export_labels(label_file(*labels_of(names)), "yolo", output)
    widths = yolo_reads(output)
    assert list(widths.values()) == [[n] for n in range(1, len(names) + 1)]
    for place, name in zip(widths, names, strict=True):
        assert place in (name, f"images/{name}")


def test_a_tree_of_train_and_valid_is_that_of_yolo_itself(label_file, tmp_path):
    export_labels(label_file(*labels_of(TREES["train_valid"])), "yolo", tmp_path / "out")
    assert (tmp_path / "out/train/labels/a.txt").is_file()
    assert (tmp_path / "out/valid/labels/a.txt").is_file()
    assert "Copy the folders of the data set" in (tmp_path / "out/data.yaml").read_text()


def test_an_export_of_train_and_valid_is_replaced_unless_it_holds_images(label_file, tmp_path):
    path, output = label_file(*labels_of(TREES["train_valid"])), tmp_path / "out"
    export_labels(path, "yolo", output)
    export_labels(path, "yolo", output, overwrite=True)
    (output / "train/images").mkdir()
    (output / "train/images/a.jpg").write_bytes(b"a photograph")
    with pytest.raises(ValueError, match="holds 'train'"):
        export_labels(path, "yolo", output, overwrite=True)
    assert (output / "train/images/a.jpg").read_bytes() == b"a photograph"


def test_two_images_that_would_lie_in_one_place_are_refused(label_file, tmp_path):
    path = label_file(*labels_of(["a.jpg", "images/a.jpg"]))
    with pytest.raises(ValueError, match=r"'a.jpg' and 'images/a.jpg' would have the same file"):
        export_labels(path, "yolo", tmp_path / "out")


def test_suffixes_that_yolo_ignores_are_reported(label_file, tmp_path, caplog):
    export_labels(label_file(*labels_of(["a.jpg", "b.gif", "c"])), "yolo", tmp_path / "out")
    assert "2 images have a suffix that YOLO's trainers ignore" in caplog.text


def labelimg_reads(path):
    """Return the boxes of an annotation file as LabelImg draws them, with whole numbers."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "annotation"
    root.find("filename").text.strip()
    boxes = []
    for item in root.iter("object"):
        box = item.find("bndbox")
        sides = [int(float(box.find(s).text)) for s in ("xmin", "ymin", "xmax", "ymax")]
        boxes.append((item.find("name").text, bool(int(item.find("difficult").text)), sides))
    return boxes


@pytest.mark.parametrize("tree", ["flat", "nested", "train_valid", "names"])
def test_labelimg_reads_the_annotation_beside_each_image(label_file, tmp_path, tree):
    """LabelImg opens b.xml beside b.jpg, once Annotations/ is copied over the images' folder."""
    names = TREES[tree]
    export_labels(label_file(*labels_of(names)), "voc", tmp_path / "out")
    for n, name in enumerate(names, start=1):
        path = tmp_path / "out/Annotations" / (os.path.splitext(name)[0] + ".xml")
        assert labelimg_reads(path) == [("object", False, [1, 1, n, 3])]
        assert ElementTree.parse(path).findtext("filename") == os.path.basename(name)


def test_markup_in_names_is_text_in_xml(label_file, tmp_path):
    names = ["<b>&amp;]]>\"'.jpg", "<!--.jpg"]
    export_labels(label_file(*labels_of(names)), "voc", tmp_path / "out")
    read = [
        ElementTree.parse(path).findtext("filename")
        for path in (tmp_path / "out/Annotations").rglob("*.xml")
    ]
    assert sorted(read) == sorted(names)


def test_pycocotools_evaluates_ids_that_are_texts(label_file, tmp_path, capsys):
    images, annotations = labels_of(["x/a.jpg", "y/a.jpg"])  # equal base names, different ids
    for entry in (*images, *annotations):
        key = "id" if "id" in entry else "image_id"
        entry[key] = f"image {entry[key]}"
    export_labels(label_file(images, annotations), "coco", tmp_path / "out")
    truth = COCO(str(tmp_path / "out/annotations.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "out/results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert evaluation.stats[0] == 1


def test_ids_and_lists_that_pycocotools_cannot_read_are_reported(label_file, tmp_path, caplog):
    images, _ = labels_of(["a.jpg", "b.jpg"])
    images[1]["id"] = "b"
    export_labels(label_file(images, []), "coco", tmp_path / "out")
    assert "some image ids are numbers and some are texts" in caplog.text
    assert "pycocotools loads no empty results.json" in caplog.text


@pytest.mark.parametrize("area", [-1, 0, None])
def test_an_invalid_area_is_replaced_by_that_of_the_box(mask_file, tmp_path, area):
    document = json.loads(mask_file.read_text())
    for entry in document["annotations"]:
        entry["area"] = area
    mask_file.write_text(json.dumps(document))
    export_labels(mask_file, "coco", tmp_path / "out")
    written = json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]
    assert [entry["area"] for entry in written] == [120, 100]


def test_a_table_has_one_row_per_image_whatever_the_names_hold(label_file, tmp_path):
    names = ["a\rb.jpg", "c\nd.jpg", "e\",'f.jpg", "=1+1.jpg"]
    export_labels(label_file(*labels_of(names)), "csv", tmp_path / "out")
    # like pandas, this reader also ends lines at \r
    text = (tmp_path / "out/images.csv").read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["file_name"] for row in rows] == names
    assert all(row["boxes"] == "1" for row in rows)


def test_names_that_are_not_utf8_are_reported(label_file, tmp_path, caplog):
    export_labels(label_file(*labels_of(["caf\udce9.jpg"])), "csv", tmp_path / "out")
    assert "1 names are not UTF-8" in caplog.text
    with pytest.raises(UserError, match="which no file can have"):
        export_labels(label_file(*labels_of(["\ud800.jpg"])), "csv", tmp_path / "other")
    assert not (tmp_path / "other").exists()
