"""Views of the image: as if the file were mirrored, cropped or resized, in the original frame."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import load_spec, read_image, read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset
from boxrefine_d2.pseudo_labels.journal import Journal
from boxrefine_d2.pseudo_labels.one_image import discover_image
from boxrefine_d2.pseudo_labels.view import View
from tests.tool_modules import tool

MINI = DiscoverySettings("tokencut", backbone="dino_mini", batch_size=2, max_side=0)
SQUEEZED = replace(
    MINI, method="maskcut", parameters={"crf": False, "n_masks": 2, "input_side": 96}
)
RULES = {"tokencut": MINI, "maskcut": SQUEEZED, "lost": replace(MINI, method="lost")}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Write a scene of an odd size that is no multiple of a patch."""
    path = tmp_path_factory.mktemp("photo") / "a.png"
    [record] = load_spec("scenes:val+first=1").records
    Image.fromarray(read_image(record["file_name"])).resize((147, 101)).save(path)
    return path


def found(path, settings):
    """Return the boxes [x, y, w, h], scores and masks (N, H, W) of an image."""
    annotations = discover_image(str(path), settings)
    masks = np.array([mask_codec.decode(a["segmentation"]) for a in annotations])
    return [a["bbox"] for a in annotations], [a["score"] for a in annotations], masks


def found_on(pixels, folder, settings):
    """Return what `found` finds on a file of these pixels."""
    Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "shown.png")
    return found(folder / "shown.png", settings)


@pytest.mark.parametrize("name", RULES)
def test_a_mirrored_view_is_a_mirrored_file(photo, tmp_path, name):
    settings = RULES[name]
    pixels = read_image(str(photo))
    boxes, scores, masks = found_on(pixels[:, ::-1], tmp_path, settings)
    seen, seen_scores, seen_masks = found(photo, replace(settings, view="mirrored"))
    assert len(boxes) >= 1 and seen_scores == scores
    assert seen == [pytest.approx([147 - x - w, y, w, h]) for x, y, w, h in boxes]
    assert np.array_equal(seen_masks, masks[:, :, ::-1])


@pytest.mark.parametrize("name", RULES)
def test_a_cropped_view_is_a_cropped_file(photo, tmp_path, name):
    """0.8 of 101 rows are 81, from row 10; 0.8 of 147 columns are 118, from column 14."""
    settings = RULES[name]
    pixels = read_image(str(photo))[10:91, 14:132]
    boxes, scores, masks = found_on(pixels, tmp_path, settings)
    seen, seen_scores, seen_masks = found(photo, replace(settings, view="crop:0.8"))
    assert len(boxes) >= 1 and seen_scores == scores
    assert seen == [pytest.approx([x + 14, y + 10, w, h]) for x, y, w, h in boxes]
    expected = np.zeros((len(masks), 101, 147), np.uint8)
    expected[:, 10:91, 14:132] = masks
    assert np.array_equal(seen_masks, expected)


@pytest.mark.parametrize(("factor", "size"), [(0.75, (76, 110)), (1.5, (152, 220))])
def test_a_scaled_view_is_a_resized_file(photo, tmp_path, factor, size):
    height, width = size
    pixels = np.array(
        Image.fromarray(read_image(str(photo))).resize((width, height), Image.Resampling.BICUBIC)
    )
    boxes, scores, masks = found_on(pixels, tmp_path, MINI)
    seen, seen_scores, seen_masks = found(photo, replace(MINI, view=f"scale:{factor}"))
    assert len(boxes) >= 1 and seen_scores == scores
    sides = np.array([147 / width, 101 / height] * 2)
    assert np.allclose(seen, np.array(boxes) * sides, atol=1e-4)
    expected = np.zeros((len(masks), 101, 147), np.uint8)
    for row in range(101):
        for column in range(147):
            expected[:, row, column] = masks[:, row * height // 101, column * width // 147]
    assert np.array_equal(seen_masks, expected)


def test_the_factor_applies_after_the_limit_of_the_side(photo):
    limited = replace(MINI, max_side=96, view="scale:0.5")
    assert found(photo, limited)[0] == found(photo, replace(MINI, max_side=48))[0]
    half = replace(SQUEEZED, view="scale:0.5")
    smaller = replace(SQUEEZED, parameters=SQUEEZED.parameters | {"input_side": 48})
    assert found(photo, half)[0] == found(photo, smaller)[0]


@pytest.fixture
def folder(tmp_path):
    """Write images of four sizes, one of them a single pixel."""
    root = tmp_path / "images"
    root.mkdir()
    draw = np.random.default_rng(0)
    for number, size in enumerate([(40, 61), (61, 40), (40, 61), (33, 33), (1, 1)]):
        pixels = draw.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    return root


@pytest.mark.parametrize("view", ["mirrored", "scale:0.5", "scale:2", "crop:0.6"])
def test_boxes_of_a_data_set_lie_inside_the_window(folder, tmp_path, view):
    settings = replace(MINI, view=view)
    summary = discover_dataset(f"folder:{folder}", tmp_path / "a.json", settings, num_workers=0)
    assert (summary.done, summary.failed) == (5, 0)
    labels = read_pseudo_labels(tmp_path / "a.json")
    assert labels.info["view"] == view
    sizes = {image["id"]: (image["height"], image["width"]) for image in labels.images}
    assert sorted(sizes.values()) == [(1, 1), (33, 33), (40, 61), (40, 61), (61, 40)]
    for label in labels.annotations:
        size = sizes[label["image_id"]]
        window = View.parse(view).window(size)
        x, y, w, h = label["bbox"]
        assert window.left <= x and x + w <= window.left + window.size[1] + 1e-4
        assert window.top <= y and y + h <= window.top + window.size[0] + 1e-4
        mask = mask_codec.decode(label["segmentation"])
        assert mask.shape == size
        inside = mask[window.top :, window.left :][: window.size[0], : window.size[1]]
        assert mask.sum() == inside.sum() > 0


def test_shards_give_the_bytes_of_one_run_and_another_view_is_refused(
    folder, tmp_path, monkeypatch
):
    data, settings = f"folder:{folder}", replace(MINI, view="crop:.80")
    discover_dataset(data, tmp_path / "whole.json", settings, num_workers=0)
    assert read_pseudo_labels(tmp_path / "whole.json").info["view"] == "crop:0.8"
    parts = tmp_path / "parts.json"
    for number in (1, 2):
        discover_dataset(data, parts, settings, num_workers=0, shard=(number, 2))
    assert parts.read_bytes() == (tmp_path / "whole.json").read_bytes()

    add = Journal.add

    def stop(self, index, entry):
        add(self, index, entry)
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr(Journal, "add", stop)
        discover_dataset(data, tmp_path / "again.json", settings, num_workers=0)
    with pytest.raises(UserError, match="view"):
        other = replace(MINI, view="mirrored")
        discover_dataset(data, tmp_path / "again.json", other, num_workers=0)
    discover_dataset(data, tmp_path / "again.json", settings, num_workers=0)
    assert (tmp_path / "again.json").read_bytes() == parts.read_bytes()


@pytest.mark.parametrize("text", ["whole", "mirrored", "scale:0.75", "scale:2", "crop:0.8"])
def test_a_view_is_written_as_it_is_read(text):
    assert str(View.parse(text)) == text
    assert View.parse("scale:1") == View.parse("crop:1.0") == View()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("flipped", "view 'flipped' is unknown; known: whole, mirrored, scale:F or crop:F"),
        ("scale:", "view 'scale:' is unknown"),
        ("scale:-1", "view 'scale:-1' is unknown"),
        ("scale:nan", "view 'scale:nan' is unknown"),
        ("scale:0", "view 'scale:0': F must be above 0 and at most 8"),
        ("crop:1.2", "view 'crop:1.2': F must be above 0 and at most 1"),
        ("mirrored:2", "is unknown"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(folder, tmp_path, capsys, view, message):
    words = ["--method", "lost", "--data", f"folder:{folder}", "--backbone", "dino_mini"]
    output = tmp_path / "out.json"
    assert tool("discover").main([*words, "--output", str(output), "--view", view]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not output.exists()


def test_the_command_writes_the_view(folder, tmp_path, capsys):
    words = ["--method", "lost", "--data", f"folder:{folder}", "--backbone", "dino_mini"]
    words += ["--num-workers", "0", "--output", str(tmp_path / "out.json"), "--view", "mirrored"]
    assert tool("discover").main(words) == 0
    assert json.loads((tmp_path / "out.json").read_text())["info"]["view"] == "mirrored"
