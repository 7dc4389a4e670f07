import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from boxrefine_d2.data.loaders import (
    TrainLoader,
    UnreadableImage,
    WholeImageLoader,
    equal_size_batches,
)
from boxrefine_d2.data.mappers import SquareMapper, WholeImageMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import padded_size
from boxrefine_d2.structures import to_xyxy


@pytest.fixture
def records(tmp_path):
    """Write ten images, of which number 4 cannot be read, and return their records."""
    records = []
    for index in range(10):
        height, width = ((40, 60), (41, 63), (60, 40))[index % 3]
        path = tmp_path / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        record = {"file_name": str(path), "image_id": index, "height": height, "width": width}
        records.append(record)
    (tmp_path / "4.png").write_text("broken")
    return records


def square(size=32, crop_area=(0.9, 1.0), flip=True, seed=0):
    return SquareMapper(
        size=size, crop_area=crop_area, crop_aspect=(0.75, 1.33), flip=flip, seed=seed
    )


def stream(records, iterations, start=0, rank=0, ranks=1, workers=0, seed=0, **more):
    loader = TrainLoader(
        records,
        more.pop("mapper", None) or square(seed=seed),
        batch_size=4,
        seed=seed,
        rank=rank,
        ranks=ranks,
        num_workers=workers,
        **more,
    )
    loader.start_iteration = start
    return list(itertools.islice(iter(loader), iterations))


def same(first, second):
    return len(first) == len(second) and all(
        a["image_id"] == b["image_id"] and torch.equal(a["image"], b["image"])
        for a, b in zip(first, second, strict=True)
    )


def test_each_pass_draws_every_image_once(records):
    ids = [x["image_id"] for batch in stream(records, 5) for x in batch]  # two passes over ten
    for half in (ids[:10], ids[10:]):
        # Image 4 cannot be read, and the next record replaces it.
        assert sorted(half) == [0, 1, 2, 3, 5, 5, 6, 7, 8, 9]
    assert ids[:10] != ids[10:]


def test_a_stream_that_starts_later_is_the_tail_of_the_whole(records):
    whole = stream(records, 6)
    tail = stream(records, 3, start=3)
    assert all(same(a, b) for a, b in zip(whole[3:], tail, strict=True))


def test_ranks_together_draw_what_one_process_draws(records):
    whole = stream(records, 4)
    parts = [stream(records, 4, rank=rank, ranks=2) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert same(batch[0::2], first) and same(batch[1::2], second)


def test_workers_change_nothing(records):
    alone, helped = stream(records, 3), stream(records, 3, workers=2)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_batches_by_shape_are_of_one_shape_each(records):
    """Three of nine images are upright. Every draw appears in some batch, and none is lost."""
    readable = [record for record in records if record["image_id"] != 4]
    upright = {record["image_id"] for record in readable if record["height"] > record["width"]}
    assert len(upright) == 3
    batches = stream(readable, 27, by_shape=True)  # twelve passes
    shapes = [{x["image_id"] in upright for x in batch} for batch in batches]
    assert {len(shape) for shape in shapes} == {1} and {True} in shapes and {False} in shapes
    drawn = [x["image_id"] for batch in batches for x in batch]
    assert {drawn.count(record["image_id"]) for record in readable} <= {11, 12, 13}
    mixed = [{x["image_id"] in upright for x in batch} for batch in stream(readable, 27)]
    assert {True, False} in mixed


def test_batches_by_shape_start_anywhere_and_are_shared_by_ranks(records):
    whole = stream(records, 9, by_shape=True)
    tail = stream(records, 4, start=5, by_shape=True)
    assert all(same(a, b) for a, b in zip(whole[5:], tail, strict=True))
    parts = [stream(records, 9, rank=rank, ranks=2, by_shape=True) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert same(batch[0::2], first) and same(batch[1::2], second)


def test_images_of_one_shape_come_in_the_same_order_as_without_groups(records):
    wide = [record for record in records if record["height"] <= record["width"]]
    plain, grouped = stream(wide, 6), stream(wide, 6, by_shape=True)
    assert all(same(a, b) for a, b in zip(plain, grouped, strict=True))


def test_different_seeds_give_different_batches(records):
    assert not same(stream(records, 1)[0], stream(records, 1, seed=1)[0])


def test_an_unreadable_image_is_reported_by_name(records, caplog):
    loader = TrainLoader(records, square(), batch_size=5, seed=0, rank=0, ranks=1, num_workers=0)
    list(itertools.islice(iter(loader), 4))
    assert list(loader.unreadable) == [records[4]["file_name"]]
    assert caplog.text.count("image replaced by the next one") == 1


def test_training_stops_if_no_image_can_be_read(records):
    for record in records:
        record["file_name"] = record["file_name"].replace(".png", ".gone")
    with pytest.raises(UserError, match="no training image can be read; first: .*gone"):
        stream(records, 1)


def test_batches_that_cannot_be_filled_are_refused(records):
    with pytest.raises(UserError, match="3 training images for a batch of 4"):
        stream(records[:3], 1)
    with pytest.raises(UserError, match="4 is no multiple of the 3 processes"):
        stream(records, 1, ranks=3)


def test_an_input_that_recurs_has_a_key(records):
    plain = square(crop_area=(), flip=False)
    first, again = plain(records[0], 0), plain(records[0], 99)
    assert first["input_key"] == again["input_key"]
    assert torch.equal(first["image"], again["image"])
    assert "input_key" not in square()(records[0], 0)
    mirrored = [square(crop_area=())(records[0], position) for position in range(20)]
    images = {sample["input_key"]: sample["image"] for sample in mirrored}
    assert len(images) == 2
    for sample in mirrored:
        assert torch.equal(sample["image"], images[sample["input_key"]])


def test_flip_mirrors_about_half_of_the_draws(records):
    plain = square(crop_area=(), flip=False)(records[0], 0)["image"]
    flipping = square(crop_area=(), flip=True)
    images = [flipping(records[0], position)["image"] for position in range(40)]
    mirrored = sum(torch.equal(image, plain.flip(2)) for image in images)
    assert mirrored + sum(torch.equal(image, plain) for image in images) == 40
    assert 10 <= mirrored <= 30


def bright_rectangle(tmp_path):
    """Write a white rectangle on a black image, 100 x 80 pixels, and return its record."""
    pixels = np.zeros((80, 100, 3), np.uint8)
    pixels[20:60, 10:50] = 255
    Image.fromarray(pixels).save(tmp_path / "white.png")
    annotations = [
        {"bbox": [10.0, 20.0, 50.0, 60.0]},
        {"bbox": [0.0, 0.0, 100.0, 80.0], "iscrowd": 1},
    ]
    record = {"file_name": str(tmp_path / "white.png"), "image_id": 0, "height": 80, "width": 100}
    return record | {"annotations": annotations}


def test_boxes_follow_the_crop_and_the_mirror(tmp_path):
    record = bright_rectangle(tmp_path)
    mapper = SquareMapper(
        size=100, crop_area=(0.5, 0.9), crop_aspect=(0.75, 1.33), flip=True, seed=0, with_boxes=True
    )
    sides = set()
    for position in range(12):
        sample = mapper(record, position)
        (box,) = to_xyxy(
            sample["target_boxes"], (100, 100)
        )  # only one box, because the crowd is left out
        white = (sample["image"][0] > 127).nonzero()
        visible = torch.cat([white.amin(0).flip(0), white.amax(0).flip(0) + 1])
        assert_close(box, visible.float(), atol=1.5, rtol=0)
        sides.add(bool(box[0] + box[2] > 100))
    assert sides == {False, True}  # mirrored and not


def test_boxes_outside_the_crop_are_left_out_and_empty_labels_give_none(tmp_path):
    record = bright_rectangle(tmp_path)
    mapper = SquareMapper(
        size=100, crop_area=(), crop_aspect=(1, 1), flip=False, seed=0, with_boxes=True
    )
    record["annotations"] = [
        {"bbox": [-30.0, 0.0, -10.0, 20.0]},
        {"bbox": [90.0, 70.0, 120.0, 90.0]},
    ]
    assert_close(mapper(record, 0)["target_boxes"], torch.tensor([[0.95, 0.9375, 0.1, 0.125]]))
    record["annotations"] = []
    assert mapper(record, 0)["target_boxes"].shape == (0, 4)
    assert "target_boxes" not in square()(record, 0)


def test_whole_images_are_reduced_only_above_the_limit(records):
    assert WholeImageMapper(0).input_size(3000, 4000) == (3000, 4000)
    assert WholeImageMapper(800).input_size(500, 800) == (500, 800)
    assert WholeImageMapper(800).input_size(3000, 4000) == (600, 800)
    assert WholeImageMapper(800).input_size(1, 20000) == (1, 800)
    sample = WholeImageMapper(30)(records[0])
    assert sample["image"].shape == (3, 20, 30)
    assert (sample["height"], sample["width"]) == (40, 60)


def test_batches_hold_one_padded_size_and_every_image_once(records):
    mapper = WholeImageMapper(0)
    records[7]["height"] = records[7]["width"] = None  # a header that could not be read
    batches = equal_size_batches(records, mapper, lambda size: padded_size(size, 16), 3)
    ids = [[record["image_id"] for record in batch] for batch in batches]
    # 40 x 60 and 41 x 63 are both padded to 48 x 64.
    assert ids == [[0, 1, 3], [2, 5, 8], [4, 6, 9], [7]]


def test_a_test_loader_leaves_out_and_names_the_unreadable(records):
    batches = [records[3:6], records[4:5], records[6:7]]
    loader = WholeImageLoader(batches, WholeImageMapper(0), num_workers=0)
    assert [[x["image_id"] for x in batch] for batch in loader] == [[3, 5], [6]]
    assert list(loader.unreadable) == [records[4]["file_name"]]
    whole = list(loader.with_unreadable())
    assert [len(batch) for batch in whole] == [3, 1, 1]
    assert isinstance(whole[1][0], UnreadableImage) and whole[1][0].record is records[4]


def test_the_stream_leaves_the_callers_random_numbers_alone():
    loader = TrainLoader(
        [{"file_name": str(i)} for i in range(4)],
        lambda record, position: dict(record),
        batch_size=2,
        seed=0,
        rank=0,
        ranks=1,
        num_workers=0,
    )
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.random.get_rng_state(), before)
