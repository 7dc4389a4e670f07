"""check_datasets.py on a tiny KITTI and a tiny COCO tree."""

import json

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.registered import NAMED_DATASETS

LINE = "{} 0 0 0 1.0 2.0 9.0 8.0 1 1 1 0 0 0 0\n"


@pytest.fixture
def check(module):
    return module("check_datasets")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


@pytest.fixture
def kitti(root, check, monkeypatch):
    """Write two images with two cars and an ignored region, and set their published counts."""
    folder = root / "kitti/training"
    for part, suffix in (("label_2", "txt"), ("image_2", "png")):
        (folder / part).mkdir(parents=True)
        for name in ("000000", "000001"):
            path = folder / part / f"{name}.{suffix}"
            if suffix == "png":
                Image.new("RGB", (30, 10)).save(path)
            else:
                path.write_text(LINE.format("Car"))
    with (folder / "label_2/000001.txt").open("a") as file:
        file.write(LINE.format("DontCare"))
    counts = {"kitti_trainval": check.OfficialCount(2, 3, crowds=1)}
    monkeypatch.setattr(check, "OFFICIAL_COUNTS", counts)
    return folder


def outputs(capsys):
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_a_whole_tree(check, kitti, capsys):
    assert check.main(["kitti_trainval", "--images"]) == 0
    printed, faults = outputs(capsys)
    assert printed == [
        f"kitti_trainval: there: {kitti / 'label_2'}",
        f"kitti_trainval: there: {kitti / 'image_2'}",
        "kitti_trainval: 2 images, 3 boxes, 1 of them crowds",
        "kitti_trainval: headers read, height 10 to 10, width 30 to 30",
    ]
    assert not faults


def test_each_missing_path_is_a_line_and_the_next_name_is_checked(check, kitti, capsys):
    root = kitti.parents[1]
    (root / "objects365/val").mkdir(parents=True)
    assert check.main(["objects365_val", "voc_2012_val", "kitti_trainval"]) == 2
    printed, faults = outputs(capsys)
    assert faults == [
        f"objects365_val: missing: looked for {root}/objects365/annotations/zhiyuan_objv2_val.json",
        f"voc_2012_val: missing: looked for {root}/VOC2012",
        f"voc_2012_val: missing: looked for {root}/VOC2012/ImageSets/Main/val.txt",
        f"voc_2012_val: missing: looked for {root}/VOC2012/Annotations",
        f"voc_2012_val: missing: looked for {root}/VOC2012/JPEGImages",
    ]
    assert printed[0] == f"objects365_val: there: {root}/objects365/val"
    assert printed[-1] == "kitti_trainval: 2 images, 3 boxes, 1 of them crowds"


def test_counts_that_differ(check, kitti, capsys, monkeypatch):
    official = {"kitti_trainval": check.OfficialCount(7481, 51865, crowds=1)}
    monkeypatch.setattr(check, "OFFICIAL_COUNTS", official)
    assert check.main(["kitti_trainval"]) == 2
    assert outputs(capsys)[1] == [
        "kitti_trainval: 2 images, published are 7481",
        "kitti_trainval: 3 boxes, published are 51865",
    ]


def test_missing_images_are_reported_without_opening_any(check, kitti, capsys):
    (kitti / "image_2/000001.png").unlink()
    (kitti / "image_2/000000.png").write_bytes(b"not an image")
    assert check.main(["kitti_trainval"]) == 2
    (fault,) = outputs(capsys)[1]
    assert fault == f"kitti_trainval: missing: looked for {kitti}/image_2/000001.png"
    assert check.main(["kitti_trainval", "--images"]) == 2
    missing, damaged = outputs(capsys)[1]
    assert missing == fault and "000000.png" in damaged


def _coco(root, count, height=10):
    """Write `count` images of 10 x 30 pixels, and labels that state `height` as their height."""
    (root / "coco/val2017").mkdir(parents=True)
    (root / "coco/annotations").mkdir()
    images = []
    for number in range(1, count + 1):
        name = f"{number}.png"
        Image.new("RGB", (30, 10)).save(root / "coco/val2017" / name)
        images.append({"id": number, "file_name": name, "height": height, "width": 30})
    path = root / "coco/annotations/instances_val2017.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def test_sizes_are_compared_and_long_lists_shortened(check, root, capsys, monkeypatch):
    monkeypatch.setattr(check, "OFFICIAL_COUNTS", {})
    _coco(root, 13, height=20)
    assert check.main(["coco_2017_val"]) == 0
    assert outputs(capsys)[0][-1] == (
        "coco_2017_val: 13 images, 0 boxes, 0 of them crowds; no published count is known here"
    )
    assert check.main(["coco_2017_val", "--images"]) == 2
    faults = outputs(capsys)[1]
    assert faults[0] == (
        f"coco_2017_val: {root}/coco/val2017/1.png: 10 x 30 pixels, the labels say 20 x 30"
    )
    assert len(faults) == 11
    assert faults[-1] == "coco_2017_val: 3 more images have such a fault"


def test_classes_of_images_are_counted_and_unknown_sizes_fit(check, root, capsys):
    folder = root / "ILSVRC"
    for wnid in ("n01440764", "n01443537"):
        (folder / "Data/CLS-LOC/train" / wnid).mkdir(parents=True)
        Image.new("RGB", (30, 10)).save(folder / f"Data/CLS-LOC/train/{wnid}/{wnid}_1.JPEG", "JPEG")
    (folder / "ImageSets/CLS-LOC").mkdir(parents=True)
    (folder / "ImageSets/CLS-LOC/train_cls.txt").write_text(
        "n01440764/n01440764_1 1\nn01443537/n01443537_1 2\n"
    )
    assert check.main(["imagenet_loc_train", "--images"]) == 2
    printed, faults = outputs(capsys)
    assert printed[-2:] == [
        "imagenet_loc_train: 2 images, 0 boxes, 0 of them crowds, 2 classes of images",
        "imagenet_loc_train: headers read, height 10 to 10, width 30 to 30",
    ]
    assert faults == [
        "imagenet_loc_train: 2 images, published are 1281167",
        "imagenet_loc_train: 2 classes, published are 1000",
    ]


def test_labels_that_cannot_be_loaded(check, kitti, capsys):
    (kitti / "label_2/000000.txt").write_text("Bus\n")
    assert check.main(["kitti_trainval"]) == 2
    (fault,) = outputs(capsys)[1]
    assert fault.startswith("kitti_trainval: cannot be loaded: KITTI label ")


def test_mistakes_are_one_line(check, root, capsys):
    assert check.main(["kitti_trainvall"]) == 2
    (line,) = outputs(capsys)[1]
    assert line.startswith("error: unknown data set 'kitti_trainvall'; did you mean kitti_trainval")
    assert check.main([]) == 2
    assert "required: NAME" in outputs(capsys)[1][0]


def test_published_counts_agree_with_each_other(module):
    counts = module("official_counts").OFFICIAL_COUNTS
    assert set(counts) <= set(NAMED_DATASETS)
    for whole, parts in (
        ("voc_2007_trainval", ("voc_2007_train", "voc_2007_val")),
        ("voc_2007_trainvaltest", ("voc_2007_trainval", "voc_2007_test")),
        ("voc_2012_trainval", ("voc_2012_train", "voc_2012_val")),
        ("cub_trainval", ("cub_train", "cub_val")),
    ):
        assert counts[whole].images == sum(counts[part].images for part in parts)
        assert counts[whole].boxes == sum(counts[part].boxes for part in parts)
    of_year = {
        year: [counts[f"coco_{year}_{split}"] for split in ("train", "val")]
        for year in (2014, 2017)
    }
    assert {sum(c.images for c in pair) for pair in of_year.values()} == {123287}
    assert {sum(c.boxes for c in pair) for pair in of_year.values()} == {896782}
