"""Trees with a class per pixel, and the ground truth that miou makes of them."""

import json

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.cli import evaluate
from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.semantic_segmentation import true_map

ROWS = [[0, 1, 5], [59, 255, 91]]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def write(tree, images, maps, listed="", names=("b", "a"), values=ROWS):
    """Write a tree with the same map for every image."""
    pixels = np.array(values, np.uint8)
    for folder in (images, maps):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        height, width = pixels.shape
        Image.new("RGB", (width, height)).save(tree / images / f"{name}.jpg")
        Image.fromarray(pixels).save(tree / maps / f"{name}.png")
    if listed:
        (tree / listed).parent.mkdir(parents=True, exist_ok=True)
        (tree / listed).write_text("".join(f"{name}\n" for name in names))


def maps_of(spec):
    dataset = load_spec(spec)
    return dataset, [true_map(r, dataset.category_ids, spec).tolist() for r in dataset.records]


def test_voc(root):
    listed = "ImageSets/Segmentation/val.txt"
    write(root / "VOC2012", "JPEGImages", "SegmentationClass", listed, values=[[0, 1], [20, 255]])
    dataset, maps = maps_of("voc_2012_semantic_val")
    assert [r["image_id"] for r in dataset.records] == ["b", "a"]  # the order of the list
    assert dataset.records[0]["relative_name"] == "JPEGImages/b.jpg"
    assert (dataset.records[0]["height"], dataset.records[0]["width"]) == (2, 2)
    assert dataset.category_names[0] == "aeroplane" and dataset.category_ids[-1] == 20
    assert dataset.has_background and maps == [[[0, 1], [20, 255]]] * 2


@pytest.mark.parametrize(("name", "first"), [("60", 0), ("59", 255)])
def test_context_with_and_without_background(root, name, first):
    listed = "ImageSets/SegmentationContext/val.txt"
    tree = root / "VOC2010"
    write(tree, "JPEGImages", "SegmentationClassContext", listed, values=[[0, 1, 59]])
    dataset, maps = maps_of(f"pascal_context_{name}_val")
    assert len(dataset.category_names) == 59 and dataset.category_names[-1] == "wood"
    assert dataset.has_background == (name == "60")
    assert maps == [[[first, 1, 59]]] * 2


def test_coco_objects(root):
    """The value is a category id less 1: 0 is person, 89 toothbrush; 11 and 91 are no things."""
    values = [[0, 89, 11], [91, 255, 12]]
    write(root / "coco", "val2017", "stuffthingmaps/val2017", values=values)
    dataset, maps = maps_of("coco_object_val2017")
    assert [r["image_id"] for r in dataset.records] == ["a", "b"]
    assert len(dataset.category_names) == 80 and dataset.category_names[0] == "person"
    assert maps == [[[1, 80, 0], [0, 0, 12]]] * 2
    assert dataset.category_names[11] == "stop sign"


def test_ade20k(root):
    tree = root / "ADEChallengeData2016"
    write(tree, "images/validation", "annotations/validation", values=[[0, 1, 2]])
    (tree / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t2\t1\twall\n2\t0.1\t2\t1\tbuilding, edifice\n"
    )
    dataset, maps = maps_of("ade20k_val")
    assert dataset.category_names == ["wall", "building"] and not dataset.has_background
    assert maps == [[[255, 1, 2]]] * 2


def test_without_background_a_pixel_without_class_is_a_miss(root, tmp_path, capsys):
    tree = root / "ADEChallengeData2016"
    write(tree, "images/validation", "annotations/validation", values=[[0, 1, 2, 2]], names=["a"])
    (tree / "objectInfo150.txt").write_text("1\t0.1\t2\t1\twall\n2\t0.1\t2\t1\tbuilding\n")
    Image.fromarray(np.array([[1, 1, 2, 0]], np.uint8)).save(tmp_path / "p.png")
    path = tmp_path / "semantic.json"
    path.write_text(json.dumps([{"image_id": "a", "segmentation_map": "p.png"}]))
    words = ["--gt", "ade20k_val", "--pred", str(path), "--metrics", "miou"]
    assert evaluate.main([*words, "--json", str(tmp_path / "s.json")]) == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["per_class"] == {"iou": {"wall": 100, "building": 50}}
    assert scores["miou"] == 75 and scores["classes_evaluated"] == 2


def test_damaged_trees_are_a_line(root):
    tree = root / "ADEChallengeData2016"
    write(tree, "images/validation", "annotations/validation")
    (tree / "objectInfo150.txt").write_text("nothing\n")
    with pytest.raises(UserError, match="holds no table of classes"):
        load_spec("ade20k_val")
    listed = "ImageSets/Segmentation/val.txt"
    write(root / "VOC2012", "JPEGImages", "SegmentationClass", listed, names=())
    with pytest.raises(UserError, match=r"val\.txt.* names no image"):
        load_spec("voc_2012_semantic_val")
