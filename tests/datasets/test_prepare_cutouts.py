"""prepare_cutouts.py on stamps and backgrounds that the tests draw."""

import gzip
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import load_spec


@pytest.fixture
def main(module):
    return module("prepare_cutouts").main


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save_stamp(path, height=90, width=120, seed=0):
    """Write a disc of noise: many colours, transparent corners."""
    pixels = noise(height, width, 4, seed)
    y, x = np.mgrid[:height, :width]
    disc = ((y + 0.5) / height * 2 - 1) ** 2 + ((x + 0.5) / width * 2 - 1) ** 2 <= 1
    pixels[..., 3] = 255 * disc
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_photograph(path, height=500, width=520, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, 3, seed)).save(path)


@pytest.fixture
def sources(tmp_path):
    stamps = tmp_path / "stamps"
    save_stamp(stamps / "animals/birds/crow.png", seed=1)
    (stamps / "animals/birds/crow.txt").write_text("A crow.\naf.utf8='n Kraai.\n", "utf-8")
    save_stamp(stamps / "food/broccoli.png", seed=2)
    (stamps / "food/broccoli.txt").write_text("Eat your broccoli!\n", "utf-8")
    save_stamp(stamps / "household/big_key.png", height=100, width=70, seed=3)
    save_photograph(tmp_path / "backgrounds/meadow.jpg", seed=4)
    save_photograph(tmp_path / "backgrounds/deep/sea.JPG", height=640, width=480, seed=5)
    return tmp_path


def arguments(folder, *more, output="cutouts"):
    return [
        "--stamps", str(folder / "stamps"), "--backgrounds", str(folder / "backgrounds"),
        "--output", str(folder / output), "--train", "4", "--val", "2", "--workers", "1", *more,
    ]  # fmt: skip


def labels(folder, split="train", output="cutouts"):
    return json.loads((folder / output / f"{split}.json").read_text("utf-8"))


def pixels(folder, split="train", output="cutouts"):
    paths = sorted((folder / output / split).iterdir())
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in paths}


def test_same_seed_same_files_whatever_the_threads(main, sources):
    assert main(arguments(sources)) == 0
    assert main(arguments(sources, "--workers", "3", output="again")) == 0
    assert main(arguments(sources, "--seed", "1", output="other")) == 0
    for split in ("train", "val"):
        first = (sources / "cutouts" / f"{split}.json").read_bytes()
        assert (sources / "again" / f"{split}.json").read_bytes() == first
        assert pixels(sources, split, "again") == pixels(sources, split)
        assert pixels(sources, split, "other") != pixels(sources, split)
    assert labels(sources)["annotations"] != labels(sources, output="other")["annotations"]


def test_an_image_does_not_depend_on_how_many_there_are(main, sources):
    assert main(arguments(sources)) == 0
    assert main(arguments(sources, "--train", "2", output="small")) == 0
    assert labels(sources, "val", "small") == labels(sources, "val")
    assert pixels(sources, "val", "small") == pixels(sources, "val")
    assert pixels(sources, "train", "small").items() < pixels(sources, "train").items()
    assert pixels(sources, "val").items().isdisjoint(pixels(sources, "train").items())


def test_boxes_are_the_extents_of_disjoint_masks(main, sources):
    assert main(arguments(sources, "--train", "12")) == 0
    document = labels(sources)
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    assert all(288 <= side <= 480 for size in sizes.values() for side in size)
    covered = {image_id: np.zeros(size, int) for image_id, size in sizes.items()}
    for entry in document["annotations"]:
        mask = mask_codec.decode(entry["segmentation"])
        assert mask.shape == sizes[entry["image_id"]]
        y, x = np.nonzero(mask)
        extent = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert entry["bbox"] == extent and entry["area"] == mask.sum()
        covered[entry["image_id"]] += mask
    assert all(count.max() == 1 for count in covered.values())  # every image has an object
    assert [entry["id"] for entry in document["annotations"]] == list(
        range(1, len(document["annotations"]) + 1)
    )


def test_the_name_cutouts_train_finds_what_was_written(main, sources, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(sources / "sets"))
    args = arguments(sources)
    del args[args.index("--output") : args.index("--output") + 2]
    assert main(args) == 0
    dataset = load_spec("cutouts_train")
    assert len(dataset.records) == 4 and len(load_spec("cutouts_val").records) == 2
    assert dataset.category_names == ["animal", "food", "object", "plant", "vehicle"]
    labelled = {(a["category_id"], a["phrase"]) for r in dataset.records for a in r["annotations"]}
    assert labelled <= {(0, "a crow"), (1, "broccoli"), (2, "big key")} and labelled
    with Image.open(dataset.records[0]["file_name"]) as image:
        assert image.size == (dataset.records[0]["width"], dataset.records[0]["height"])


def test_unused_images_are_counted_and_unreadable_ones_are_listed(main, sources, capsys):
    stamps, backgrounds = sources / "stamps", sources / "backgrounds"
    save_stamp(stamps / "animals/crow_mirror.png")
    save_stamp(stamps / "animals/cartoon/dino.png")
    save_stamp(stamps / "symbols/plus.png")
    save_stamp(stamps / "food/nut.png", height=40, width=40)
    Image.fromarray(noise(90, 90, 3)).save(stamps / "food/square.png")
    flat = np.zeros((90, 90, 4), np.uint8)
    flat[10:-10, 10:-10] = (200, 30, 40, 255)
    flat[0, 0, 3] = flat[-1, -1, 3] = 1
    Image.fromarray(flat).save(stamps / "food/drawing.png")
    flat[..., 3] = 255
    flat[0, 0, 3] = 0
    Image.fromarray(flat).save(stamps / "food/uncut.png")
    (stamps / "food/torn.png").write_bytes((stamps / "food/broccoli.png").read_bytes()[:900])
    (backgrounds / "torn.jpg").write_bytes((backgrounds / "meadow.jpg").read_bytes()[:900])
    Image.new("RGB", (600, 600), "navy").save(backgrounds / "flat.jpg")
    save_photograph(backgrounds / "sheep.jpg")
    save_photograph(backgrounds / "small.jpg", height=479)
    save_photograph(backgrounds / "usr/share/doc/x/manual.jpg")
    save_photograph(backgrounds / "drawing.png")
    (backgrounds / "again.jpg").symlink_to("meadow.jpg")
    assert main(arguments(sources)) == 0
    recorded = labels(sources, "val")["info"]["sources"]
    assert recorded["stamps"]["used"] == 3
    assert recorded["stamps"]["not_used"] == {
        "drawn": 1,
        "mirror images of others": 1,
        "not cut out": 1,
        "of folders without photographed objects": 2,
        "too small": 1,
        "without transparency": 1,
    }
    assert list(recorded["stamps"]["unreadable"]) == ["food/torn.png"]
    assert recorded["backgrounds"]["used"] == 2
    assert recorded["backgrounds"]["not_used"] == {
        "drawn or flat": 1,
        "known paintings, renderings and animals": 1,
        "not JPEG": 1,
        "too small": 1,
    }
    assert list(recorded["backgrounds"]["unreadable"]) == ["torn.jpg"]
    out, err = capsys.readouterr()
    assert "3 stamps; not used: 1 drawn" in out and "1 unreadable" in out
    assert "unreadable: food/torn.png: " in err and "unreadable: torn.jpg: " in err


def test_the_labels_name_packages_and_their_licences(main, sources):
    documents = sources / "backgrounds/usr/share/doc/some-wallpapers"
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(
        "Format: x\n\nFiles: *\nCopyright: a\nLicense: CC-BY-4.0\n\nFiles: b.jpg\n c.jpg\n"
        "License: GPL-2+\nComment: no\n\nFiles: debian/*\nLicense: GPL-3\n\n"
        "License: GPL-2+\n Text\n",
        "utf-8",
    )
    with gzip.open(documents / "changelog.Debian.gz", "wt") as file:
        file.write("some-wallpapers (1:2.3-4) unstable; urgency=low\n")
    assert main(arguments(sources)) == 0
    info = labels(sources)["info"]
    assert info["packages"] == [
        {
            "package": "some-wallpapers",
            "version": "1:2.3-4",
            "licences": ["CC-BY-4.0", "GPL-2+"],
        }
    ]
    assert info["seed"] == 0 and len(info["sources"]["stamps"]["sha256"]) == 64


def nothing_cut_out(folder):
    for path in (folder / "stamps").rglob("*.png"):
        Image.fromarray(noise(90, 90, 3)).save(path)


def nothing_large(folder):
    for path in (folder / "backgrounds").rglob("*.[jJ]*"):
        save_photograph(path, height=300)


def something_there(folder):
    (folder / "cutouts").mkdir()
    (folder / "cutouts/notes.txt").touch()


@pytest.mark.parametrize(
    ("more", "prepare", "line"),
    [
        (
            ["--stamps", "nowhere"],
            None,
            "folder of stamps 'nowhere' does not exist; extract .*dpkg -x tuxpaint",
        ),
        (
            ["--backgrounds", "nowhere"],
            None,
            "folder of backgrounds 'nowhere' does not exist; extract .*dpkg -x",
        ),
        (["--stamps", __file__], None, "py' is a file, not a folder"),
        (
            [],
            nothing_cut_out,
            "no photographic stamp .*/stamps' .3 without transparency.; extract the package",
        ),
        (
            [],
            nothing_large,
            "no background photograph .*480 x 480.*/backgrounds' .2 too small.; name folders",
        ),
        (
            [],
            something_there,
            "cutouts' already holds notes.txt; name another folder, or give --overwrite",
        ),
        (["--output", __file__], None, "py' is a file; name a folder"),
        (["--output", f"{__file__}/below"], None, "cannot write '.*below': Not a directory"),
        (["--train", "0"], None, "--train is 0; it must be 1 or more"),
        (["--seed", "-1"], None, "--seed is -1; it must be 0 or more"),
        (["--val", "few"], None, "--val: invalid int value: 'few'; see --help"),
    ],
)
def test_mistakes_are_one_line(main, sources, capsys, more, prepare, line):
    if prepare:
        prepare(sources)
    assert main(arguments(sources, *more)) == 2
    printed = capsys.readouterr().err.splitlines()[-1]
    assert printed.startswith("error: ")
    assert re.search(line, printed), printed


def test_overwriting_replaces_a_run_and_nothing_else(main, sources):
    assert main(arguments(sources)) == 0
    (sources / "cutouts/notes.txt").touch()
    (sources / "cutouts/.unfinished-1").mkdir()
    assert main(arguments(sources, "--train", "2", "--overwrite")) == 0
    assert sorted(path.name for path in (sources / "cutouts").iterdir()) == [
        "notes.txt",
        "train",
        "train.json",
        "val",
        "val.json",
    ]
    assert len(pixels(sources)) == len(labels(sources)["images"]) == 2


def test_a_run_that_fails_leaves_nothing_and_takes_nothing_away(main, module, sources, monkeypatch):
    assert main(arguments(sources)) == 0
    before = pixels(sources), labels(sources)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module("prepare_cutouts"), "compose", full)
    assert main(arguments(sources, output="new")) == 2
    assert not (sources / "new").exists()
    assert main(arguments(sources, "--overwrite")) == 2
    assert (pixels(sources), labels(sources)) == before
    assert not list((sources / "cutouts").glob(".*"))
