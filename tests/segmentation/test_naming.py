"""Names for boxes: by a made-up CLIP that reads colours, and by the command on rendered scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from boxrefine_d2.cli import export, name_boxes
from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.weights import WeightsInfo
from boxrefine_d2.segmentation import naming

NAMES = ("red", "green", "blue")


class ColourClip:
    """CLIP of three dimensions: the vector of an image is its mean colour."""

    side, logit_scale, device = 8, 10.0, torch.device("cpu")
    weights_info = WeightsInfo("colours", "0" * 64)

    def encode_text(self, texts, *, cut=True):
        return torch.stack(
            [torch.eye(3)[NAMES.index(text.split()[-1].strip("."))] for text in texts]
        )

    def encode_photos(self, images):
        return F.normalize(images.mean(dim=(2, 3)), dim=1)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of images with two coloured squares each, and their pseudo-label file."""
    images, annotations = [], []
    root = tmp_path / "images"
    root.mkdir()
    for number in range(3):
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[5:25, 5:25, number] = 200
        pixels[5:25, 35:55, (number + 1) % 3] = 200
        Image.fromarray(pixels).save(root / f"{number}.png")
        images.append({"id": number + 1, "file_name": f"{number}.png", "width": 60, "height": 40})
        for x, score in ((5, 0.9), (35, 0.4)):
            box = {"image_id": number + 1, "bbox": [x, 5, 20, 20], "score": score}
            annotations.append(box)
    write_pseudo_labels(tmp_path / "boxes.json", images=images, annotations=annotations, info={})
    return tmp_path


def named(folder, **changes):
    settings = naming.NamingSettings(NAMES, **{"margin": 0.0} | changes)
    data, boxes = f"folder:{folder / 'images'}", folder / "boxes.json"
    output = folder / "named.json"
    counts = naming.name_boxes(ColourClip(), data, boxes, output, settings)
    return counts, read_pseudo_labels(output)


def test_each_box_gets_the_name_of_its_crop(folder):
    counts, labels = named(folder)
    assert [category["name"] for category in labels.categories] == list(NAMES)
    found = [(a["image_id"], a["bbox"][0], NAMES[a["category_id"] - 1]) for a in labels.annotations]
    assert found == [
        (number + 1, x, NAMES[(number + place) % 3])
        for number in range(3)
        for place, x in enumerate((5, 35))
    ]
    assert [a["score"] for a in labels.annotations] == [0.9, 0.4] * 3
    expected = np.exp(10) / (np.exp(10) + 2)
    for label in labels.annotations:
        assert label["similarity"] == pytest.approx(1) and label["probability"] == pytest.approx(
            expected, rel=1e-6
        )
    assert labels.info["names"]["clip"] == "colours"
    assert counts.to_text(-1) == "6 of 6 boxes have a name\nred 2, green 2, blue 2"


def test_boxes_that_are_like_no_class_are_counted(folder):
    counts, labels = named(folder, margin=0.5, min_similarity=0.999)
    assert counts.boxes == 6 and counts.unlike + counts.named.total() == 6 and counts.unlike
    assert len(labels.annotations) == counts.named.total() and len(labels.images) == 3
    assert "are like no class (cosine below 0.999)" in counts.to_text(0.999)


def test_images_that_cannot_be_read_are_counted(folder):
    (folder / "images" / "1.png").write_bytes(b"no image")
    counts, labels = named(folder)
    assert counts.unread == 2 and len(labels.annotations) == 4
    [name] = labels.info["names"]["images_unreadable"]
    assert name.endswith("1.png")
    assert "2 are in images that cannot be read" in counts.to_text(-1)


def test_an_interrupted_command_goes_on_where_it_stopped(folder, monkeypatch):
    whole = named(folder)[1]
    (folder / "named.json").unlink()
    seen = []

    class Killed(BaseException):
        pass

    def crops(clip, part, real=naming.crop_vectors):
        if len(seen) == 2:
            raise Killed
        seen.append(len(part))
        return real(clip, part)

    monkeypatch.setattr(naming, "CROPS_AT_ONCE", 2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(naming, "crop_vectors", crops)
        named(folder)
    assert seen == [2, 2] and not (folder / "named.json").exists()
    with pytest.raises(UserError, match="interrupted run with other settings"):
        named(folder, margin=0.2)
    real = naming.crop_vectors
    monkeypatch.setattr(
        naming, "crop_vectors", lambda clip, part: seen.append("again") or real(clip, part)
    )
    counts, labels = named(folder)
    assert seen == [2, 2, "again"]
    assert labels == whole and counts.named.total() == 6
    assert not list(folder.glob("named.json.journal*"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"min_similarity": 2.0}, "a cosine is between -1 and 1"),
        ({"margin": -1.0}, "give a share of the box"),
        ({"outside": "black"}, "--outside 'black' is unknown; known: keep, grey, both"),
        ({"templates": "x"}, "--template 'x' is unknown"),
    ],
)
def test_impossible_settings_are_a_line(folder, changes, line):
    with pytest.raises(UserError, match=line):
        named(folder, **changes)
    assert not (folder / "named.json").exists()


def test_from_boxes_without_names_to_a_yolo_data_set_with_classes(tmp_path, capsys):
    spec, boxes, output = "scenes:val+first=4", tmp_path / "boxes.json", tmp_path / "named.json"
    records = load_spec(spec).records
    write_pseudo_labels(
        boxes,
        images=[
            {
                "id": record["image_id"],
                "file_name": record["relative_name"],
                "width": record["width"],
                "height": record["height"],
            }
            for record in records
        ],
        annotations=[
            {
                "image_id": record["image_id"],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": annotation["segmentation"],
                "score": 1.0,
            }
            for record in records
            for annotation in record["annotations"]
            for x1, y1, x2, y2 in [annotation["bbox"]]
        ],
        info={"method": "made up"},
    )
    words = ["--input", str(boxes), "--data", spec, "--classes", "bird,car,house"]
    words += ["--output", str(output), "--device", "cpu", "--num-workers", "0"]
    assert name_boxes.main(words) == 0
    assert "boxes have a name" in capsys.readouterr().out
    labels = read_pseudo_labels(output)
    assert labels.info["method"] == "made up" and labels.info["names"]["clip"] == "clip_mini"
    yolo = tmp_path / "yolo"
    assert export.main(["--input", str(output), "--format", "yolo", "--output", str(yolo)]) == 0
    [data] = yolo.glob("*.yaml")
    text = data.read_text()
    assert all(name in text for name in ("bird", "car", "house"))
    first = name_boxes.main([*words[:-2], "--num-workers", "0"])
    assert first == 0
    again = json.loads(Path(output).read_text())
    assert again["annotations"] == labels.annotations


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--classes", ","], "has no name"),
        (["--clip", "clip_x"], "CLIP 'clip_x' is unknown; known: clip_mini, clip_vitb32"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--data", "kinds:train+first=2"], "boxes.json"),
    ],
)
def test_a_mistake_is_one_line(folder, words, line, capsys):
    base = {"--input": str(folder / "boxes.json"), "--data": f"folder:{folder / 'images'}"}
    base |= {"--classes": "cat,dog", "--output": str(folder / "named.json")}
    base |= dict(zip(words[::2], words[1::2], strict=True))
    assert name_boxes.main([word for pair in base.items() for word in pair]) == 2
    [error] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line in error
    assert not (folder / "named.json").exists()
