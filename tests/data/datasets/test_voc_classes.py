"""VOC trees whose classes are not the twenty."""

import logging

import pytest

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError

OBJECT = "<object><name>{}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"


def write_tree(tree, **classes):
    """One image of 12 x 9 pixels for each name, with an object of each class; splits `train` and, of the last, `val`."""
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for name, found in classes.items():
        size = "<size><width>12</width><height>9</height></size>"
        xml = f"<annotation>{size}{''.join(map(OBJECT.format, found))}</annotation>"
        (tree / f"Annotations/{name}.xml").write_text(xml, encoding="utf-8")
    names = list(classes)
    for split, members in (("train", names[:-1] or names), ("val", names[-1:])):
        (tree / f"ImageSets/Main/{split}.txt").write_text("".join(f"{name}\n" for name in members))
    return tree


def found(tree, split):
    """The categories, and the names of the objects of each image."""
    dataset = load_spec(f"voc:{tree}:{split}")
    names = [
        [dataset.category_names[a["category_id"]] for a in r["annotations"]]
        for r in dataset.records
    ]
    return dict(zip(dataset.category_ids, dataset.category_names, strict=True)), names


def test_classes_of_its_own_are_numbered_from_one_by_name(tmp_path, caplog):
    tree = write_tree(tmp_path, a=["zebra", "ox"], b=["\u8f66"])
    with caplog.at_level(logging.WARNING):
        assert found(tree, "train") == ({1: "ox", 2: "zebra", 3: "\u8f66"}, [["zebra", "ox"]])
    assert caplog.messages == []


def test_every_split_numbers_them_alike(tmp_path):
    """`val` has one of the classes only."""
    tree = write_tree(tmp_path, a=["zebra", "ox"], b=["zebra"])
    assert found(tree, "val")[0] == found(tree, "train")[0] == {1: "ox", 2: "zebra"}


def test_where_some_are_vocs_it_is_said(tmp_path, caplog):
    tree = write_tree(tmp_path, a=["dog", "persn", "cat"])
    with caplog.at_level(logging.WARNING):
        assert found(tree, "train")[0] == {1: "cat", 2: "dog", 3: "persn"}
    assert "1 of its 3 classes are not VOC's (persn)" in caplog.text


def test_of_vocs_classes_all_twenty_are_there(tmp_path):
    categories, names = found(write_tree(tmp_path, a=["dog"]), "train")
    assert len(categories) == 20 and categories[12] == "dog" and names == [["dog"]]


def test_a_named_data_set_keeps_its_classes(tmp_path, monkeypatch):
    """A foreign class there says that the tree is another."""
    tree = write_tree(tmp_path / "VOC2007", a=["dog", "unicorn"])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(UserError, match="image 'a' has the class 'unicorn'.*voc:ROOT:SPLIT"):
        load_spec("voc_2007_train")
    assert found(tree, "train")[0] == {1: "dog", 2: "unicorn"}


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
