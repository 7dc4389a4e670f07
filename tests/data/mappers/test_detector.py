"""Inputs of image detectors, checked by hand and against Detectron2's own mapper."""

import copy

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as mask_codec
from torch.testing import assert_close

from boxrefine_d2.data.images import ImageReadError
from boxrefine_d2.data.mappers.detector import DetectorMapper, ShortEdgeMapper
from boxrefine_d2.data.mappers.draws import numpy_draws
from boxrefine_d2.errors import UserError

HEIGHT, WIDTH = 20, 40
BOX = (4, 2, 14, 10)  # XYXY of the object, which is bright on a dark ground


def rectangle(height=HEIGHT, width=WIDTH) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
    return mask


def rle(mask) -> dict:
    encoded = mask_codec.encode(np.asfortranarray(mask))
    return encoded | {"counts": encoded["counts"].decode()}


def annotation(box=BOX, **more):
    base = {"bbox": list(map(float, box)), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    return base | {"iscrowd": 0, "segmentation": rle(rectangle())} | more


@pytest.fixture
def record(tmp_path):
    Image.fromarray(np.stack([rectangle() * 255] * 3, axis=2)).save(tmp_path / "a.png")
    base = {"file_name": str(tmp_path / "a.png"), "image_id": "a", "annotations": [annotation()]}
    return base | {"height": HEIGHT, "width": WIDTH}


def mapper(**changes) -> DetectorMapper:
    settings = {"short_edges": (40,), "sampling": "choice", "max_side": 1000, "flip": True}
    return DetectorMapper(**settings | {"masks": True, "seed": 0} | changes)


def test_flip_and_resize_move_image_boxes_and_masks_together(record):
    """The size doubles: (4, 2, 14, 10) becomes (8, 4, 28, 20).

    Mirrored in 80 pixels, that is (52, 4, 72, 20).
    """
    seen = set()
    for position in range(12):
        sample = mapper()(record, position)
        image, instances = sample["image"], sample["instances"]
        assert image.shape == (3, 40, 80) and image.dtype == torch.uint8
        assert instances.image_size == (40, 80) and len(instances) == 1
        [(x1, y1, x2, y2)] = instances.gt_boxes.tensor.tolist()
        expected = torch.zeros(40, 80, dtype=torch.bool)
        expected[int(y1) : int(y2), int(x1) : int(x2)] = True
        assert instances.gt_masks.tensor[0].equal(expected)
        # Interpolation blurs the border of the object; pixels above one half belong to it.
        assert ((image[0] > 127) == expected).all()
        seen.add((x1, y1, x2, y2))
    assert seen == {(8, 4, 28, 20), (52, 4, 72, 20)}


def test_an_image_one_pixel_wide_is_mirrored_with_its_mask(tmp_path, record):
    """A mirrored mask has negative strides, but NumPy still reports such a mask as contiguous."""
    Image.new("RGB", (1, 20)).save(tmp_path / "thin.png")
    thin = annotation((0, 2, 1, 10), segmentation=rle(np.ones((20, 1), np.uint8)))
    record |= {"file_name": str(tmp_path / "thin.png"), "width": 1, "annotations": [thin]}
    for position in range(6):
        sample = mapper(short_edges=(1,))(record, position)
        assert sample["instances"].gt_masks.tensor.shape == (1, 20, 1)


def same(one, other) -> bool:
    boxes = one["instances"].gt_boxes.tensor.equal(other["instances"].gt_boxes.tensor)
    return one["image"].equal(other["image"]) and boxes


def test_draws_depend_on_seed_and_position_alone(record):
    lengths = tuple(range(20, 60))
    forwards = mapper(short_edges=lengths)
    first = [forwards(record, position) for position in range(8)]
    np.random.seed(123)  # noqa: NPY002
    backwards = mapper(short_edges=lengths)
    again = [backwards(record, position) for position in reversed(range(8))][::-1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    other = [mapper(short_edges=lengths, seed=1)(record, position) for position in range(8)]
    assert not all(same(a, b) for a, b in zip(first, other, strict=True))
    assert len({sample["image"].shape for sample in first}) > 4


def test_the_callers_numpy_state_is_untouched(record):
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    mapper()(record, 0)
    assert_close(np.random.random(3), expected, rtol=0, atol=0)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    with pytest.raises(ZeroDivisionError), numpy_draws(np.random.SeedSequence(0)):
        raise ZeroDivisionError
    assert_close(np.random.random(3), expected, rtol=0, atol=0)  # noqa: NPY002


def test_the_record_and_the_cached_image_stay_unchanged(record):
    before = copy.deepcopy(record)
    keeps = mapper(short_edges=(HEIGHT,), cache_bytes=1e6)
    samples = [keeps(record, position) for position in range(12)]
    assert record == before
    for sample in samples:
        sample["image"].zero_()
    fresh = mapper(short_edges=(HEIGHT,))
    assert all(same(keeps(record, n), fresh(record, n)) for n in range(12))


def test_crowds_are_left_out_and_classes_kept(record):
    record["annotations"] = [
        annotation(category_id=3),
        annotation((0, 0, 40, 20), iscrowd=1),
        annotation((20, 5, 30, 15), category_id=1),
    ]
    instances = mapper(flip=False)(record, 0)["instances"]
    assert instances.gt_classes.tolist() == [3, 1]
    assert instances.gt_boxes.tensor.tolist() == [[8, 4, 28, 20], [40, 10, 60, 30]]


def test_boxes_alone_need_no_masks_and_are_cut_at_the_border(record):
    record["annotations"] = [annotation((-1, 2, 41, 20.5))]
    del record["annotations"][0]["segmentation"]
    instances = mapper(flip=False, masks=False)(record, 0)["instances"]
    assert not instances.has("gt_masks")
    assert instances.gt_boxes.tensor.tolist() == [[0, 4, 80, 40]]


def test_boxes_without_area_are_no_instances(record):
    record["annotations"] = [annotation((5, 5, 5, 9)), annotation()]
    assert len(mapper()(record, 0)["instances"]) == 1


def test_polygons_and_every_kind_of_rle_are_one_mask(record):
    polygon = [[4, 2, 14, 2, 14, 10, 4, 10]]
    plain = {"size": [HEIGHT, WIDTH], "counts": [4 * HEIGHT + 2]}
    plain["counts"] += [8, 12] * 9 + [8, HEIGHT * WIDTH - 4 * HEIGHT - 2 - 9 * 20 - 8]
    ways = [polygon, plain, rle(rectangle()), mask_codec.encode(rectangle())]
    record["annotations"] = [annotation(segmentation=way) for way in ways]
    masks = mapper(flip=False)(record, 0)["instances"].gt_masks.tensor
    expected = cv2.resize(rectangle(), (80, 40), interpolation=cv2.INTER_NEAREST) > 0
    assert masks.numpy().tolist() == [expected.tolist()] * len(ways)


def test_several_polygons_are_one_object(record):
    parts = [[4, 2, 9, 2, 9, 10, 4, 10], [9, 2, 14, 2, 14, 10, 9, 10]]
    record["annotations"] = [annotation(segmentation=parts)]
    masks = mapper(flip=False, short_edges=(HEIGHT,))(record, 0)["instances"].gt_masks.tensor
    assert masks.numpy()[0].tolist() == (rectangle() > 0).tolist()


@pytest.mark.parametrize(
    ("short", "limit", "size"), [(40, 80, (40, 80)), (40, 60, (30, 60)), (10, 80, (10, 20))]
)
def test_the_shorter_edge_has_its_length_unless_the_longer_one_exceeds_its_limit(
    record, short, limit, size
):
    assert mapper(short_edges=(short,), max_side=limit)(record, 0)["image"].shape[1:] == size


def test_lengths_are_a_choice_or_a_range(record):
    def heights(sampling):
        reads = mapper(short_edges=(20, 24), sampling=sampling)
        return {reads(record, position)["image"].shape[1] for position in range(60)}

    assert heights("choice") == {20, 24}
    assert heights("range") == {20, 21, 22, 23, 24}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": "any"}, "SAMPLING 'any' is unknown; known: choice, range"),
        ({"sampling": "range"}, r"INPUT.MIN_SIZE_TRAIN \(40,\): .* needs two lengths"),
    ],
)
def test_the_error_for_a_wrong_sampling_names_it(changes, message):
    with pytest.raises(UserError, match=message):
        mapper(**changes)


def test_an_image_of_another_size_than_its_labels_is_refused(record):
    Image.new("RGB", (HEIGHT, WIDTH)).save(record["file_name"])
    reason = "it is 20 x 40 pixels, and its labels are of 40 x 20"
    with pytest.raises(ImageReadError, match=reason) as caught:
        mapper()(record, 0)
    assert caught.value.path == record["file_name"] and caught.value.reason == reason


def test_an_image_of_unknown_size_is_read(record):
    known = mapper()(record, 0)
    assert same(mapper()(record | {"height": None, "width": None}, 0), known)


def detectron2_cfg(short=(40,), limit=1000):
    cfg = get_cfg()
    cfg.INPUT.FORMAT, cfg.INPUT.MASK_FORMAT, cfg.MODEL.MASK_ON = "RGB", "bitmask", True
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = short, limit
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = short[0], limit
    return cfg


@pytest.mark.parametrize("seed", [0, 5])
def test_a_training_input_equals_that_of_detectron2(record, seed):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(record["file_name"])
    record["annotations"].append(annotation((20.3, 5.1, 31.7, 15.2), category_id=4))
    reference = DatasetMapper(detectron2_cfg((33, 47, 50), 90), is_train=True)
    ours = mapper(short_edges=(33, 47, 50), max_side=90, seed=seed)
    for position in range(6):
        with numpy_draws(np.random.SeedSequence([seed, position])):
            expected = reference(record)
        sample = ours(record, position)
        assert sample["image"].equal(expected["image"])
        for name, values in expected["instances"].get_fields().items():
            field = sample["instances"].get(name)
            assert_close(getattr(field, "tensor", field), getattr(values, "tensor", values))


@pytest.mark.parametrize(
    "size", [(20, 40), (40, 20), (33, 33), (37, 91), (500, 375), (8, 300), (801, 1201)]
)
@pytest.mark.parametrize("limits", [(40, 1000), (40, 60), (800, 1333)])
def test_test_sizes_equal_those_of_detectron2(size, limits):
    short, longest = limits
    ours = ShortEdgeMapper(short, longest).input_size(*size)
    [augmentation] = DatasetMapper(
        detectron2_cfg((short,), longest), is_train=False
    ).augmentations.augs
    transform = augmentation.get_transform(np.zeros((*size, 3), np.uint8))
    assert ours == (transform.new_h, transform.new_w)


def test_a_test_input_equals_that_of_detectron2(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "b.png"
    Image.fromarray(rng.integers(0, 256, (37, 51, 3), dtype=np.uint8)).save(path)
    record = {"file_name": str(path), "image_id": 5, "height": 37, "width": 51}
    for short, longest in ((64, 1000), (24, 1000), (64, 70)):
        expected = DatasetMapper(detectron2_cfg((short,), longest), is_train=False)(record)
        sample = ShortEdgeMapper(short, longest)(record)
        assert sample["image"].equal(expected["image"])
        assert [sample[key] for key in ("height", "width", "image_id")] == [37, 51, 5]


def test_a_short_edge_of_zero_keeps_the_size():
    assert ShortEdgeMapper(0, 10).input_size(37, 51) == (37, 51)
