"""VOC trees with several splits, or with fewer classes."""

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.voc import VOC_CLASS_NAMES
from boxrefine_d2.data.datasets.voc_splits import SIX_CLASS_NAMES, load_voc_splits
from boxrefine_d2.errors import UserError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>8</ymax></bndbox>"


def write_tree(tree, splits, class_name="dog"):
    """Write splits of images with 12 x 9 pixels and one object each, marked difficult."""
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tree / folder).mkdir(parents=True)
    for split, names in splits.items():
        (tree / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            item = f"<object><name>{class_name}</name><difficult>1</difficult>{BOX}</object>"
            (tree / f"Annotations/{name}.xml").write_text(f"<annotation>{item}</annotation>")
            Image.new("RGB", (12, 9)).save(tree / f"JPEGImages/{name}.jpg")
    return tree


def test_splits_follow_each_other(tmp_path):
    tree = write_tree(tmp_path, {"trainval": ["000005", "000007"], "test": ["000001"]})
    dataset = load_voc_splits(tree, ("trainval", "test"))
    assert [r["image_id"] for r in dataset.records] == ["000005", "000007", "000001"]
    (dog,) = dataset.records[2]["annotations"]
    assert dog["bbox"] == [0.0, 1.0, 10.0, 8.0] and dog["difficult"]
    assert dog["category_id"] == VOC_CLASS_NAMES.index("dog")
    assert dataset.category_names == list(VOC_CLASS_NAMES)
    assert dataset.category_ids == list(range(1, 21))


def test_categories_are_positions_in_the_list_of_class_names(tmp_path):
    dataset = load_voc_splits(write_tree(tmp_path, {"train": ["1"]}), ("train",), SIX_CLASS_NAMES)
    assert dataset.category_names == ["bicycle", "bird", "car", "cat", "dog", "person"]
    assert dataset.records[0]["annotations"][0]["category_id"] == 4
    assert dataset.category_ids == [1, 2, 3, 4, 5, 6]


def test_errors_name_the_image_or_the_split(tmp_path):
    tree = write_tree(tmp_path / "comic", {"train": ["1", "2"], "test": ["2"]}, "sofa")
    with pytest.raises(
        UserError, match="comic': '2' is in more than one of the splits train, test"
    ):
        load_voc_splits(tree, ("train", "test"))
    with pytest.raises(UserError, match="image '2' has the class 'sofa', .*bicycle, bird, car"):
        load_voc_splits(tree, ("test",), SIX_CLASS_NAMES)
    with pytest.raises(UserError, match="no split 'extra'"):
        load_voc_splits(tree, ("train", "extra"))
