"""Masks with names: by the command with a small network of random weights, on rendered scenes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.cli import evaluate, segment
from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.language.build import SHIPPED
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.masks.components import components_from
from boxrefine_d2.segmentation import segmenting
from boxrefine_d2.segmentation.segmenting import SegmentSettings, masks_of
from tests.segmentation.released_groupvit import released
from tests.segmentation.test_group_model import filled, small


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of a small network as the public repository writes it."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((SHIPPED / "clip_mini" / name).read_bytes())
    path = folder / "groupvit.pth"
    torch.save({"model": released(filled(small()).state_dict())}, path)
    return path


@pytest.fixture
def command(weights, tmp_path):
    """Return a function that runs the command and returns its exit code."""

    def command(*words, data="scenes:val+first=2", classes="bird,car,house"):
        fixed = ["--data", data, "--classes", classes, "--weights", str(weights)]
        fixed += ["--output", str(tmp_path / "named.json"), "--side", "64", "--device", "cpu"]
        return segment.main([*fixed, "--num-workers", "0", *words])

    return command


def test_masks_with_names_and_maps_that_evaluate_reads(command, tmp_path, capsys):
    maps = tmp_path / "maps"
    assert command("--maps", str(maps), "--background-threshold", "0") == 0
    assert "masks on 2 images" in capsys.readouterr().out
    labels = read_pseudo_labels(tmp_path / "named.json")
    assert [category["name"] for category in labels.categories] == ["bird", "car", "house"]
    assert labels.info["method"] == "groupvit" and labels.info["weights"]["sha256"]
    records = load_spec("scenes:val+first=2").records
    assert [image["id"] for image in labels.images] == [r["image_id"] for r in records]
    semantic = json.loads((maps / "semantic.json").read_text())
    for record, entry in zip(records, semantic, strict=True):
        painted = np.array(Image.open(maps / entry["segmentation_map"]))
        assert painted.shape == (record["height"], record["width"]) and painted.min() > 0
        own = [a for a in labels.annotations if a["image_id"] == record["image_id"]]
        for label in own:
            mask = decode_mask(label["segmentation"], painted.shape).astype(bool)
            assert (painted[mask] == label["category_id"]).all()
            x, y, width, height = map(int, label["bbox"])
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
        assert [a["score"] for a in own] == sorted((a["score"] for a in own), reverse=True)
    words = ["--gt", "scenes:val+first=2", "--pred", str(maps / "semantic.json")]
    assert evaluate.main([*words, "--metrics", "miou"]) == 0
    assert "miou" in capsys.readouterr().out


def test_an_interrupted_command_goes_on_where_it_stopped(command, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    maps, data = tmp_path / "maps", f"folder:{folder}"
    assert command("--maps", str(maps), data=data) == 0
    whole = (tmp_path / "named.json").read_bytes(), (maps / "semantic.json").read_bytes()
    (tmp_path / "named.json").unlink()
    seen, real = [], segmenting.class_scores

    class Killed(BaseException):
        pass

    def scores(network, image, *more):
        if len(seen) == 2:
            raise Killed
        seen.append(image.shape)
        return real(network, image, *more)

    monkeypatch.setattr(segmenting, "class_scores", scores)
    with pytest.raises(Killed):
        command("--maps", str(maps), data=data)
    assert len(seen) == 2 and not (tmp_path / "named.json").exists()
    seen.clear()
    assert command("--maps", str(maps), data=data) == 0
    assert len(seen) == 1
    again = (tmp_path / "named.json").read_bytes(), (maps / "semantic.json").read_bytes()
    assert again == whole


def test_an_unreadable_image_is_listed(command, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no image")
    assert command(data=f"folder:{folder}") == 0
    labels = read_pseudo_labels(tmp_path / "named.json")
    assert [image["file_name"] for image in labels.images] == ["a.png"]
    assert [failed["file_name"] for failed in labels.info["images_failed"]] == ["b.png"]


def test_parts_of_a_class_are_masks_of_their_own():
    labels = np.zeros((10, 10), int)
    labels[0:4, 0:5], labels[6:10, 6:9], labels[0, 9] = 1, 1, 2
    scores = torch.zeros(3, 10, 10)
    scores[1, :5], scores[1, 5:], scores[2] = 0.5, 0.75, 0.9
    found = masks_of(labels, scores, SegmentSettings(["a", "b"], min_area=0.02))
    assert [(x["category_id"], x["bbox"], x["score"]) for x in found] == [
        (1, [6, 6, 3, 4], 0.75),
        (1, [0, 0, 5, 4], 0.5),
    ]
    assert len(components_from(labels > 0, 1)) == 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--side", "100"], "--side 100: give a multiple of 16"),
        (["--background-threshold", "2"], "--background-threshold 2.0: give a number from 0 to 1"),
        (["--network", "vit"], "GroupViT 'vit' is unknown"),
        (["--template", "x"], "--template 'x' is unknown"),
    ],
)
def test_a_mistake_is_one_line(command, words, line, capsys, tmp_path):
    assert command(*words) == 2
    [error] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line in error and not (tmp_path / "named.json").exists()


def test_too_many_classes_are_a_line():
    with pytest.raises(UserError, match="has 255 names; a semantic map holds 254"):
        SegmentSettings([str(k) for k in range(255)]).check()
