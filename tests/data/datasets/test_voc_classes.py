"""VOC trees with classes other than VOC's twenty."""

import logging

import pytest

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError

OBJECT = (
    "<object><name>{}</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
)


def write_tree(tree, **classes):
    """Write one image of 12 x 9 pixels for each name, with one object of each of its classes.

    The last image is the split `val`, and the others are `train`. A single image is in both.
    """
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for name, class_names in classes.items():
        size = "<size><width>12</width><height>9</height></size>"
        xml = f"<annotation>{size}{''.join(map(OBJECT.format, class_names))}</annotation>"
        (tree / f"Annotations/{name}.xml").write_text(xml, encoding="utf-8")
    names = list(classes)
    for split, members in (("train", names[:-1] or names), ("val", names[-1:])):
        (tree / f"ImageSets/Main/{split}.txt").write_text("".join(f"{name}\n" for name in members))
    return tree


def classes_of(tree, split):
    """Return the categories, and the class names of the objects of each image."""
    dataset = load_spec(f"voc:{tree}:{split}")
    names = [
        [dataset.category_names[a["category_id"]] for a in r["annotations"]]
        for r in dataset.records
    ]
    return dict(zip(dataset.category_ids, dataset.category_names, strict=True)), names


def test_own_classes_are_sorted_and_numbered_from_one(tmp_path, caplog):
    tree = write_tree(tmp_path, a=["zebra", "ox"], b=["\u8f66"])
    with caplog.at_level(logging.WARNING):
        assert classes_of(tree, "train") == ({1: "ox", 2: "zebra", 3: "\u8f66"}, [["zebra", "ox"]])
    assert caplog.messages == []


def test_every_split_numbers_its_classes_alike(tmp_path):
    """The split `val` has only one of the classes."""
    tree = write_tree(tmp_path, a=["zebra", "ox"], b=["zebra"])
    assert classes_of(tree, "val")[0] == classes_of(tree, "train")[0] == {1: "ox", 2: "zebra"}


def test_a_warning_lists_the_other_classes_if_some_are_vocs(tmp_path, caplog):
    tree = write_tree(tmp_path, a=["dog", "persn", "cat"])
    with caplog.at_level(logging.WARNING):
        assert classes_of(tree, "train")[0] == {1: "cat", 2: "dog", 3: "persn"}
    assert "1 of its 3 classes are not VOC's (persn)" in caplog.text


def test_a_split_with_voc_classes_has_all_twenty(tmp_path):
    categories, names = classes_of(write_tree(tmp_path, a=["dog"]), "train")
    assert len(categories) == 20 and categories[12] == "dog" and names == [["dog"]]


def test_a_registered_data_set_keeps_its_classes(tmp_path, monkeypatch):
    """A class that is not VOC's shows that the tree is not the registered one."""
    tree = write_tree(tmp_path / "VOC2007", a=["dog", "unicorn"])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(UserError, match="image 'a' has the class 'unicorn'.*voc:ROOT:SPLIT"):
        load_spec("voc_2007_train")
    assert classes_of(tree, "train")[0] == {1: "dog", 2: "unicorn"}


def test_an_object_without_a_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="a.xml' has an object without a class"):
        load_spec(f"voc:{write_tree(tmp_path, a=[' '])}:train")


def test_lists_name_images_with_spaces_below_folders_and_never_outside(tmp_path):
    tree = write_tree(tmp_path, **{"a b": ["ox"]})
    assert [r["image_id"] for r in load_spec(f"voc:{tree}:train").records] == ["a b"]
    for line in ("../a b", "/etc/passwd"):
        (tree / "ImageSets/Main/train.txt").write_text(f"{line}\n")
        with pytest.raises(UserError, match="(leads out of the tree|lists of one class)"):
            load_spec(f"voc:{tree}:train")
