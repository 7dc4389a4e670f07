"""Inputs with a class: crops of a resized square, and their frames."""

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.data.images import ImageReadError
from boxrefine_d2.data.mappers.classified import ClassMapper, ClassTestMapper
from boxrefine_d2.errors import UserError

HEIGHT, WIDTH = 80, 120
BOX = [30.0, 24.0, 75.0, 64.0]


@pytest.fixture
def record(tmp_path):
    """A record whose image is white inside of a box and black outside."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x1, y1, x2, y2 = map(int, BOX)
    pixels[y1:y2, x1:x2] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return {
        "file_name": str(tmp_path / "a.png"),
        "relative_name": "a.png",
        "image_id": 7,
        "height": HEIGHT,
        "width": WIDTH,
        "image_label": 3,
    }


def mapper(**changes):
    return ClassMapper(**{"resize": 72, "crop": 64, "flip": True, "seed": 5} | changes)


def shown_box(image):
    """Return the box of the white pixels."""
    rows, columns = np.nonzero(image.numpy()[0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("position", range(12))
def test_the_frame_brings_boxes_to_the_input(record, position):
    sample = mapper()(record, position)
    assert sample["image"].shape == (3, 64, 64) and sample["image"].dtype == torch.uint8
    assert (sample["image_label"], sample["image_id"]) == (3, 7)
    (box,) = sample["frame"].boxes_to_input(np.array([BOX]))
    np.testing.assert_allclose(shown_box(sample["image"]), box.clip(0, 64), atol=0.51)


def test_crops_and_mirrors_vary_and_depend_on_seed_position_and_view_alone(record):
    frames = [mapper()(record, position)["frame"] for position in range(60)]
    assert {frame.mirrored for frame in frames} == {True, False}
    assert {frame.top for frame in frames} == {frame.left for frame in frames} == set(range(9))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = [mapper(cache_bytes=1e6)(record, position) for position in (59, 3)]
    assert torch.equal(torch.get_rng_state(), before)
    assert [sample["frame"] for sample in again] == [frames[59], frames[3]]
    assert torch.equal(again[0]["image"], mapper()(record, 59)["image"])
    assert len({mapper()(record, 0, view)["frame"] for view in range(5)}) > 1
    assert mapper(seed=6)(record, 0)["frame"] != frames[0]


def test_without_crop_and_flip_the_square_is_seen_whole(record):
    sample = mapper(resize=60, crop=60, flip=False)(record, 0)
    expected = Image.open(record["file_name"]).resize((60, 60), Image.Resampling.BILINEAR)
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), np.array(expected))


def test_a_cached_square_equals_a_read_one(record):
    cached = mapper(cache_bytes=1e6)
    first, second = cached(record, 4), cached(record, 4)
    assert torch.equal(first["image"], second["image"])
    Image.new("RGB", (WIDTH, HEIGHT)).save(record["file_name"])
    assert torch.equal(cached(record, 4)["image"], first["image"])


def test_unknown_sizes_come_from_the_header(record):
    known = mapper()(record, 3)
    unknown = mapper()(record | {"height": None, "width": None}, 3)
    assert unknown["frame"] == known["frame"]
    assert unknown["frame"].image_size == (HEIGHT, WIDTH)


def test_the_test_input_is_the_centre_crop(record):
    sample = ClassTestMapper(resize=72, crop=64)(record)
    frame = sample["frame"]
    assert (frame.top, frame.left, frame.mirrored) == (4, 4, False)
    assert frame.image_size == (sample["height"], sample["width"]) == (HEIGHT, WIDTH)
    (box,) = frame.boxes_to_input(np.array([BOX]))
    np.testing.assert_allclose(shown_box(sample["image"]), box, atol=0.51)
    assert (sample["image_label"], sample["relative_name"]) == (3, "a.png")
    whole = ClassTestMapper(resize=64, crop=64)
    assert whole.input_size(HEIGHT, WIDTH) == (64, 64)
    (box,) = whole(record)["frame"].boxes_to_input(np.array([BOX]))
    np.testing.assert_allclose(box, [16.0, 19.2, 40.0, 51.2])


def test_labels(record):
    del record["image_label"]
    assert "image_label" not in ClassTestMapper(resize=64, crop=64)(record)
    with pytest.raises(UserError, match=r"'a.png' .*add \+one_class"):
        mapper()(record, 0)
    cup = {"bbox": BOX, "category_id": 2, "iscrowd": 0}
    assert mapper()(record | {"annotations": [cup]}, 0)["image_label"] == 2
    assert ClassTestMapper(resize=64, crop=64)(record | {"annotations": [cup]})["image_label"] == 2


def test_an_unreadable_image(record, tmp_path):
    (tmp_path / "a.png").write_text("damaged")
    with pytest.raises(ImageReadError):
        mapper()(record, 0)
    with pytest.raises(ImageReadError):
        ClassTestMapper(resize=64, crop=64)(record)


@pytest.mark.parametrize("crop", [0, 73])
def test_a_crop_that_does_not_fit(crop):
    with pytest.raises(UserError, match=f"crop of {crop} pixels from a square of 72: .* 1 to 72"):
        mapper(crop=crop)
    with pytest.raises(UserError, match="lower it or enlarge the square"):
        ClassTestMapper(resize=72, crop=crop)
