"""prepare_photos.py on made-up trees in the layout of the official downloads."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import load_spec

PARTS = ("train", "val", "coco_train", "coco_val", "ecssd_val")
NAMES = {
    "train": ["000001.jpg", "000002.jpg"],
    "val": ["000003.jpg"],
    "coco_train": ["000000000009.jpg"],
    "coco_val": ["000000000025.jpg", "000000000030.jpg"],
    "ecssd_val": ["0003.jpg"],
}
VOC_OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def prepare(module, tmp_path, monkeypatch):
    """Return the module with short lists."""
    prepare = module("prepare_photos")
    (tmp_path / "lists").mkdir()
    for part, names in NAMES.items():
        (tmp_path / f"lists/photos_{part}.txt").write_text("\n".join(names) + "\n")
    monkeypatch.setattr(prepare, "LISTS", tmp_path / "lists")
    return prepare


def save_photograph(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=60)


def write_voc(root):
    (root / "Annotations").mkdir(parents=True)
    images = {
        "000001": ((500, 353), [("dog", 0, 48, 240, 195, 371), ("person", 0, 8, 12, 352, 498)]),
        "000002": ((90, 120), [("car", 0, 11, 21, 60, 70), ("car", 1, 1, 1, 9, 9)]),
        "000003": ((450, 500), [("aeroplane", 0, 1, 1, 500, 450)]),
    }
    for name, ((height, width), objects) in images.items():
        save_photograph(root / f"JPEGImages/{name}.jpg", (height, width))
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        body = size + "".join(VOC_OBJECT.format(*item) for item in objects)
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{body}</annotation>")


def write_coco(root):
    (root / "annotations").mkdir(parents=True)
    sizes = {9: (424, 640), 25: (426, 640), 30: (426, 640), 7: (40, 40)}
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "height": h, "width": w}
        for i, (h, w) in sizes.items()
    ]
    for image in images:
        save_photograph(root / "val2017" / image["file_name"], (image["height"], image["width"]))
    crowd = {"counts": [0, 100], "size": [424, 640]}
    annotations = [
        {"id": 70, "image_id": 9, "category_id": 90, "bbox": [412.8, 157.61, 53.05, 138.01],
         "iscrowd": 0, "area": 1.0, "segmentation": [[1, 1, 2, 2, 3, 1]]},
        {"id": 80, "image_id": 25, "category_id": 1, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"id": 90, "image_id": 9, "category_id": 13, "bbox": [0, 0, 640, 424], "iscrowd": 1,
         "segmentation": crowd},
    ]  # fmt: skip
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [{"id": i, "name": f"kind {i}"} for i in ids]
    captions = [
        {"id": i, "image_id": i, "caption": text}
        for i, text in ((25, " A giraffe. "), (9, "Food"), (30, "A vase"))
    ] + [{"id": 99, "image_id": 9, "caption": "Trays of food "}]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations/instances_val2017.json").write_text(json.dumps(instances))
    captions_file = {"images": images, "annotations": captions}
    (root / "annotations/captions_val2017.json").write_text(json.dumps(captions_file))


def write_ecssd(root, images="images", masks="ground_truth_mask", size=(300, 400)):
    save_photograph(root / images / "0003.jpg", size)
    (root / masks).mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[100:150, 30:130] = 255
    pixels[90:100, 30:130] = 120  # too dark for foreground
    Image.fromarray(pixels).save(root / masks / "0003.png")


@pytest.fixture
def downloads(tmp_path):
    write_voc(tmp_path / "VOCdevkit/VOC2007")
    write_coco(tmp_path / "coco")
    write_ecssd(tmp_path / "ECSSD")
    return tmp_path


def arguments(folder, *more, output="photos"):
    return [
        "--voc07", str(folder / "VOCdevkit"), "--coco", str(folder / "coco"),
        "--ecssd", str(folder / "ECSSD"), "--output", str(folder / output), "--workers", "2", *more,
    ]  # fmt: skip


def labels(folder, part, output="photos"):
    return json.loads((folder / output / part / "annotations.json").read_text("utf-8"))


def image(folder, part, name):
    with Image.open(folder / "photos" / part / "images" / name) as file:
        return np.asarray(file.convert("RGB"))


def test_voc_has_the_boxes_that_are_not_difficult(prepare, downloads, capsys):
    assert prepare.main(arguments(downloads)) == 0
    val, train = labels(downloads, "val"), labels(downloads, "train")
    [box] = val["annotations"]
    assert box == {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 400, 360], "area": 144000,
        "iscrowd": 0,
    }  # fmt: skip
    assert [(entry["width"], entry["height"]) for entry in train["images"]] == [
        (254, 360),
        (120, 90),
    ]
    dog, person, car = train["annotations"]
    across = 254 / 353
    assert dog["bbox"] == [round(47 * across, 2), 172.08, round(148 * across, 2), 95.04]
    assert dog["area"] == round(dog["bbox"][2] * dog["bbox"][3], 2)
    assert (dog["category_id"], person["category_id"], car["category_id"]) == (12, 15, 7)
    assert car["bbox"] == [10, 20, 50, 50] and car["image_id"] == 2 and car["id"] == 3
    assert [entry["name"] for entry in train["categories"]][::19] == ["aeroplane", "tvmonitor"]
    assert train["info"]["left_out"] == {"difficult objects": 1}
    assert "photos_train, 2 images, 3 annotations; left out: 1 difficult" in capsys.readouterr().out


def test_larger_images_are_reduced_and_others_are_copied(prepare, downloads):
    assert prepare.main(arguments(downloads)) == 0
    small = "images/000002.jpg"
    official = downloads / "VOCdevkit/VOC2007/JPEGImages/000002.jpg"
    assert (downloads / "photos/train" / small).read_bytes() == official.read_bytes()
    assert image(downloads, "train", "000001.jpg").shape == (360, 254, 3)
    assert image(downloads, "val", "000003.jpg").shape == (360, 400, 3)
    assert image(downloads, "coco_train", "000000000009.jpg").shape == (238, 360, 3)  # 238.5
    assert image(downloads, "coco_val", "000000000025.jpg").shape == (320, 480, 3)  # 319.5
    for part in PARTS:
        entries = labels(downloads, part)["images"]
        assert [entry["file_name"] for entry in entries] == NAMES[part]
        assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
        for entry in entries:
            shape = image(downloads, part, entry["file_name"]).shape
            assert shape[:2] == (entry["height"], entry["width"])


def test_coco_has_captions_crowds_and_categories_from_1_to_80(prepare, downloads):
    assert prepare.main(arguments(downloads)) == 0
    document = labels(downloads, "coco_train")
    assert document["images"][0]["captions"] == ["Food", "Trays of food"]
    down = 238 / 424
    assert document["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 80, "iscrowd": 0,
         "bbox": [232.2, round(157.61 * down, 2), 29.84, round(138.01 * down, 2)],
         "area": round(29.84 * round(138.01 * down, 2), 2)},
        {"id": 2, "image_id": 1, "category_id": 12, "iscrowd": 1, "bbox": [0, 0, 360, 238],
         "area": 85680},
    ]  # fmt: skip
    assert [entry["id"] for entry in document["categories"]] == list(range(1, 81))
    val = labels(downloads, "coco_val")
    assert [entry["image_id"] for entry in val["annotations"]] == [1]
    assert [entry["captions"] for entry in val["images"]] == [["A giraffe."], ["A vase"]]


def test_ecssd_has_the_mask_and_its_box(prepare, downloads):
    assert prepare.main(arguments(downloads)) == 0
    [entry] = labels(downloads, "ecssd_val")["annotations"]
    assert entry["bbox"] == [30, 100, 100, 50] and entry["area"] == 5000
    mask = mask_codec.decode(entry["segmentation"])
    assert mask.shape == (300, 400) and mask[100:150, 30:130].all() and mask.sum() == 5000


@pytest.mark.parametrize(
    "pair", [("images", "ground_truth_mask"), ("Image", "Mask"), ("Imgs", "Imgs")]
)
def test_the_layouts_of_ecssd(prepare, tmp_path, pair):
    write_ecssd(tmp_path / "sets/ECSSD", *pair, size=(600, 800))
    args = ["--ecssd", str(tmp_path / "sets"), "--output", str(tmp_path / "photos")]
    assert prepare.main(args) == 0
    [entry] = labels(tmp_path, "ecssd_val")["annotations"]
    assert entry["segmentation"]["size"] == [300, 400]
    assert entry["bbox"] == [15, 50, 50, 25]
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["ecssd_val"]


def test_the_registered_names_find_what_was_written(prepare, downloads, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(downloads / "sets"))
    args = arguments(downloads)
    del args[args.index("--output") : args.index("--output") + 2]
    assert prepare.main(args) == 0
    for part, names in NAMES.items():
        records = load_spec(f"photos_{part}").records
        assert [record["relative_name"] for record in records] == names
    assert load_spec("photos_coco_val").records[1]["captions"] == ["A vase"]
    assert load_spec("photos_val").records[0]["annotations"][0]["bbox"] == [0, 0, 400, 360]


def test_a_source_that_is_given_later_is_added(prepare, downloads):
    args = arguments(downloads)
    assert prepare.main([*args[:2], "--output", str(downloads / "photos")]) == 0
    before = (downloads / "photos/train/annotations.json").read_bytes()
    assert prepare.main([*args[2:4], "--output", str(downloads / "photos")]) == 0
    assert sorted(path.name for path in (downloads / "photos").iterdir()) == sorted(PARTS[:4])
    assert (downloads / "photos/train/annotations.json").read_bytes() == before


def test_overwriting_replaces_the_parts_and_nothing_else(prepare, downloads):
    (downloads / "photos/val/images").mkdir(parents=True)
    (downloads / "photos/val/images/old.jpg").touch()
    (downloads / "photos/notes.txt").touch()
    (downloads / "photos/.unfinished-1").mkdir()
    assert prepare.main(arguments(downloads, "--overwrite")) == 0
    present = sorted(path.name for path in (downloads / "photos").iterdir())
    assert present == sorted([*PARTS, "notes.txt"])
    assert [p.name for p in (downloads / "photos/val/images").iterdir()] == NAMES["val"]


def test_a_run_that_fails_takes_nothing_away(prepare, downloads, monkeypatch, capsys):
    assert prepare.main(arguments(downloads)) == 0
    before = labels(downloads, "train")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.shutil, "copyfile", full)
    assert prepare.main(arguments(downloads, output="new")) == 2
    assert "No space left on device; free some space" in capsys.readouterr().err
    assert not (downloads / "new").exists()
    assert prepare.main(arguments(downloads, "--overwrite")) == 2
    assert labels(downloads, "train") == before
    assert not list((downloads / "photos").glob(".*"))


def without(path):
    def remove(folder):
        whole = folder / path
        shutil.rmtree(whole) if whole.is_dir() else whole.unlink()

    return remove


def torn(folder):
    path = folder / "VOCdevkit/VOC2007/JPEGImages/000001.jpg"
    path.write_bytes(path.read_bytes()[:900])


def shrunk(folder):
    save_photograph(folder / "coco/val2017/000000000009.jpg", (212, 320))


def changed_json(name, change):
    def edit(folder):
        path = folder / f"coco/annotations/{name}_val2017.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def empty_mask(folder):
    Image.new("L", (400, 300)).save(folder / "ECSSD/ground_truth_mask/0003.png")


def something_there(folder):
    (folder / "photos/val").mkdir(parents=True)


@pytest.mark.parametrize(
    ("more", "change", "line"),
    [
        (["--voc07", "nowhere"], None, "--voc07 'nowhere' does not exist; extract VOCtest_06-Nov"),
        (["--ecssd", __file__], None, "--ecssd '.*py' is a file, not a folder; extract images.zip"),
        (
            [],
            without("VOCdevkit/VOC2007/Annotations"),
            "--voc07 '.*' is not PASCAL VOC 2007 test: looked for JPEGImages and Annotations",
        ),
        (
            [],
            without("coco/annotations/captions_val2017.json"),
            "--coco '.*' is not COCO val2017: looked for '.*/captions_val2017.json'; extract",
        ),
        ([], without("ECSSD/images"), "--ecssd '.*' is not ECSSD: looked for images with ground"),
        (
            [],
            without("VOCdevkit/VOC2007/JPEGImages/000002.jpg"),
            "lacks 1 of the 2 images of photos_train or their labels, first '.*/000002.jpg'; "
            "extract all of VOCtest_06-Nov-2007.tar",
        ),
        (
            [],
            without("VOCdevkit/VOC2007/Annotations/000003.xml"),
            "lacks 1 of the 1 images of photos_val or their labels, first '.*/000003.xml'",
        ),
        (
            [],
            changed_json("instances", lambda d: d["images"].pop(1)),
            "photos_coco_val or their labels, first 000000000025.jpg in '.*instances_val2017.json'",
        ),
        (
            [],
            changed_json("captions", lambda d: d["annotations"].pop(0)),
            "photos_coco_val or their labels, first captions of 000000000025.jpg in '.*captions_",
        ),
        (
            [],
            changed_json("instances", lambda d: d["categories"].pop()),
            "instances_val2017.json' has 79 categories; the official file has 80; extract",
        ),
        (
            [],
            changed_json("instances", lambda d: d["annotations"][0].pop("bbox")),
            "annotation 70 has no box or an unknown category; extract",
        ),
        ([], without("ECSSD/ground_truth_mask/0003.png"), "photos_ecssd_val .* first '.*0003.png'"),
        ([], empty_mask, "mask '.*/0003.png' is empty; extract"),
        ([], torn, "cannot read image '.*/000001.jpg': the file is truncated"),
        (
            [],
            shrunk,
            "000000000009.jpg has 212 x 320 pixels .H x W., its labels are for 424 x 640; use",
        ),
        ([], something_there, "photos' already holds val; name another folder, or give --overwr"),
        (["--output", __file__], None, "py' is a file; name a folder"),
        (["--output", f"{__file__}/below"], None, "cannot write '.*below': Not a directory"),
        (["--workers", "0"], None, "--workers is 0; it must be 1 or more"),
    ],
)
def test_mistakes_are_one_line(prepare, downloads, capsys, more, change, line):
    if change:
        change(downloads)
    assert prepare.main(arguments(downloads, *more)) == 2
    printed = capsys.readouterr().err.splitlines()[-1]
    assert printed.startswith("error: ")
    assert re.search(line, printed), printed


def test_no_source_is_a_mistake(prepare, capsys):
    assert prepare.main([]) == 2
    line = "error: no official download is given; name the folder of one or more of them: --voc07 "
    assert capsys.readouterr().err.startswith(line)


def test_the_lists_name_each_photograph_once(module):
    prepare = module("prepare_photos")
    official = module("official_counts").OFFICIAL_COUNTS
    pattern = {"voc07": r"\d{6}\.jpg", "coco": r"\d{12}\.jpg", "ecssd": r"\d{4}\.jpg"}
    seen = set()
    for part in prepare.PARTS:
        names = (prepare.LISTS / f"{part.name}.txt").read_text().splitlines()
        assert len(names) == official[part.name].images
        assert names == sorted(names)
        assert all(re.fullmatch(pattern[part.source], name) for name in names)
        assert seen.isdisjoint(names)
        seen.update(names)
    assert len(seen) == 4560
