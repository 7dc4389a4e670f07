"""Copy-paste: small images by hand, and invariants of any batch."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks
from torch.testing import assert_close

from boxrefine_d2.detectors.copy_paste import CopyPaste
from boxrefine_d2.errors import UserError


def copy_paste(rate=1.0, ratio=(1.0, 1.0), discard_share=0.5, behaviour="fixed") -> CopyPaste:
    return CopyPaste(rate=rate, ratio=ratio, discard_share=discard_share, behaviour=behaviour)


def sample(*boxes, value=0, classes=None, size=(8, 8)) -> dict:
    """Return a plain image whose objects are rectangles (x1, y1, x2, y2)."""
    objects = Instances(size)
    objects.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    objects.gt_classes = torch.tensor(classes or [0] * len(boxes), dtype=torch.long)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    objects.gt_masks = BitMasks(masks)
    image = torch.full((3, *size), value, dtype=torch.uint8)
    return {"image": image, "instances": objects, "file_name": f"{value}.jpg"}


def boxes_of(result) -> list[list[float]]:
    return result["instances"].gt_boxes.tensor.tolist()


def tight_boxes(masks) -> list[list[float]]:
    boxes = []
    for mask in masks.numpy():
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return [[float(x) for x in box] for box in boxes]


def test_an_object_of_equal_size_keeps_its_place():
    source, target = sample((1, 2, 4, 4), value=200), sample((5, 5, 7, 7), value=50)
    result = copy_paste()([target, source])[0]
    expected = torch.full((3, 8, 8), 50, dtype=torch.uint8)
    expected[:, 2:4, 1:4] = 200
    assert result["image"].equal(expected) and result["image"].dtype == torch.uint8
    assert boxes_of(result) == [[5, 5, 7, 7], [1, 2, 4, 4]]  # the target's own come first
    masks = result["instances"].gt_masks.tensor
    assert masks.sum(dim=(1, 2)).tolist() == [4, 6]
    assert masks[1].equal(source["instances"].gt_masks.tensor[0])
    assert result["file_name"] == "50.jpg"


def test_a_mask_of_half_the_size_includes_pixels_that_it_covers_in_part():
    # an output pixel is the mean of 2 x 2: rows 2-3 fill row 1; columns 3-4 are half of columns 1
    # and of 2
    observed = set()
    for seed in range(300):
        torch.manual_seed(seed)
        batch = [sample(value=50), sample((3, 2, 5, 4), value=200)]
        result = copy_paste(ratio=(0.5, 0.5))(batch)[0]
        ((x1, y1, x2, y2),) = boxes_of(result)
        assert (x2 - x1, y2 - y1) == (2, 1)
        observed.add((x1 - 1, y1 - 1))
    assert observed == {(x, y) for x in range(5) for y in range(5)}  # the window lies anywhere


def test_the_source_takes_the_shape_of_the_target():
    # 4 rows become 8: output row i reads row i / 2 - 1 / 4, so rows 1 to 4 read row 1
    source, target = sample((2, 1, 3, 2), value=200, size=(4, 8)), sample(size=(8, 8))
    assert boxes_of(copy_paste()([target, source])[0]) == [[2, 1, 3, 5]]
    target = sample(size=(12, 8))
    torch.manual_seed(0)
    result = copy_paste(ratio=(0.5, 0.5))([target, sample((0, 0, 8, 8), value=9)])[0]
    assert (result["image"] == 9).sum() == 3 * 6 * 4
    assert result["instances"].image_size == (12, 8)


def test_pixels_equal_those_of_opencv():
    generator = torch.Generator().manual_seed(0)
    source = sample((0, 0, 13, 17), size=(17, 13))
    source["image"] = torch.randint(0, 256, (3, 17, 13), generator=generator, dtype=torch.uint8)
    result = copy_paste(ratio=(0.6, 0.6))([sample(value=0, size=(31, 20)), source])[0]
    ((x1, y1, x2, y2),) = torch.tensor(boxes_of(result)).int().tolist()
    assert (x2 - x1, y2 - y1) == (12, 18)
    image = source["image"].permute(1, 2, 0).float().numpy()
    expected = cv2.resize(image, (12, 18), interpolation=cv2.INTER_LINEAR)
    boxes = result["image"][:, y1:y2, x1:x2].permute(1, 2, 0).float()
    assert_close(boxes, torch.from_numpy(expected), atol=0.51, rtol=0)  # rounded


def test_an_object_that_covers_half_of_a_target_is_discarded_and_a_smaller_one_is_cut_out():
    target = sample((2, 2, 6, 4), (0, 6, 2, 8), value=50)  # 8 and 4 pixels
    covers_half = sample((4, 2, 8, 4), value=200)
    result = copy_paste()([target, covers_half])[0]
    assert result is target
    result = copy_paste(discard_share=0.51)([target, covers_half])[0]
    assert boxes_of(result) == [[2, 2, 4, 4], [0, 6, 2, 8], [4, 2, 8, 4]]
    covers_a_quarter = sample((5, 2, 8, 4), value=200)
    result = copy_paste()([target, covers_a_quarter])[0]
    assert boxes_of(result) == [[2, 2, 5, 4], [0, 6, 2, 8], [5, 2, 8, 4]]
    assert result["instances"].gt_masks.tensor.sum(dim=(1, 2)).tolist() == [6, 4, 6]


def test_each_object_is_judged_alone_and_a_hidden_target_is_removed():
    target = sample((2, 2, 6, 3), (0, 6, 2, 8), classes=[7, 8])
    halves = sample((2, 2, 4, 3), (4, 2, 6, 3), (7, 7, 8, 8), value=200, classes=[1, 2, 3])
    observed = set()
    for seed in range(60):
        torch.manual_seed(seed)
        result = copy_paste(discard_share=0.75)([target, halves])[0]
        classes = tuple(sorted(result["instances"].gt_classes.tolist()))
        observed.add(classes)
        assert boxes_of(result) == tight_boxes(result["instances"].gt_masks.tensor)
    # one or two of three are pasted; the first target is removed only if both halves are pasted
    whole = (7, 8)
    one, two = [(1, *whole), (2, *whole), (3, *whole)], [(1, 3, *whole), (2, 3, *whole), (1, 2, 8)]
    assert observed == {*one, *two}


def test_of_several_objects_one_to_all_but_one_are_pasted_uniformly():
    source = sample(*[(x, 0, x + 1, 1) for x in range(4)], value=200, classes=[0, 1, 2, 3])
    counts, objects = np.zeros(5), np.zeros(4)
    for seed in range(600):
        torch.manual_seed(seed)
        pasted = copy_paste()([sample(), source])[0]["instances"].gt_classes.tolist()
        assert len(set(pasted)) == len(pasted)
        counts[len(pasted)] += 1
        objects[pasted] += 1
    assert counts[[0, 4]].tolist() == [0, 0]
    # 600 draws of 1 / 3 have a deviation of 11.5; an object is in half of the draws, 12.2
    assert np.abs(counts[1:4] - 200).max() < 46 and np.abs(objects - 300).max() < 49


def test_objects_come_from_the_unchanged_batch_in_reverse():
    batch = [
        sample((0, 0, 2, 2), value=10, classes=[1]),
        sample((4, 0, 6, 2), value=20, classes=[2]),
        sample((0, 4, 2, 6), value=30, classes=[3]),
    ]
    before = [x["image"].clone() for x in batch]
    first, middle, last = copy_paste()(batch)
    assert first["instances"].gt_classes.tolist() == [1, 3]
    assert last["instances"].gt_classes.tolist() == [3, 1]
    assert middle is batch[1]  # its own object covers itself
    assert (first["image"] == 30).sum() == 12 and (last["image"] == 10).sum() == 12
    assert all(x["image"].equal(image) for x, image in zip(batch, before, strict=True))
    assert [len(x["instances"]) for x in batch] == [1, 1, 1]


def test_the_middle_image_receives_its_own_objects():
    # 4 of 16 pixels are too few to be discarded at any place
    areas = set()
    for seed in range(40):
        torch.manual_seed(seed)
        (result,) = copy_paste(ratio=(0.5, 0.5))([sample((0, 0, 4, 4), value=9)])
        own, pasted = result["instances"].gt_masks.tensor
        assert pasted.sum() == 4
        areas.add(int(own.sum()))
    assert areas == {12, 14, 15, 16}


@pytest.mark.parametrize("with_masks", [True, False])
def test_a_target_without_objects_receives_them(with_masks):
    target = sample(value=50)
    if not with_masks:  # Detectron2 makes such instances from no annotations
        target["instances"].remove("gt_masks")
    result = copy_paste()([target, sample((1, 2, 4, 4), value=200, classes=[3])])[0]
    assert boxes_of(result) == [[1, 2, 4, 4]]
    assert result["instances"].gt_classes.tolist() == [3]
    assert set(result["instances"].get_fields()) == {"gt_boxes", "gt_classes", "gt_masks"}


def test_the_release_exchanges_offsets_if_the_target_has_no_objects():
    source, moved = sample((4, 1, 8, 3), value=200, size=(4, 12)), set()
    for seed in range(40):
        results = {}
        for behaviour in ("fixed", "release"):
            torch.manual_seed(seed)
            paste = copy_paste(ratio=(0.5, 0.5), behaviour=behaviour)
            results[behaviour] = paste([sample(size=(8, 12)), source])[0]
        ((x1, y1, x2, y2),) = boxes_of(results["fixed"])
        assert (x2 - x1, y2 - y1) == (2, 2)
        left, top = x1 - 2, y1 - 1  # 4 x 12 becomes 4 x 6, and the source's box [2, 1, 4, 3]
        assert boxes_of(results["release"]) == [[2 + top, 1 + left, 4 + top, 3 + left]]
        assert results["release"]["image"].equal(results["fixed"]["image"])
        moved.add((left, top))
    assert len(moved) > 10
    torch.manual_seed(3)
    batch = [sample((0, 0, 1, 1), size=(8, 12)), source]
    result = copy_paste(ratio=(0.5, 0.5), behaviour="release")(batch)[0]
    assert boxes_of(result) == tight_boxes(result["instances"].gt_masks.tensor)


def test_no_object_or_one_too_small_changes_nothing():
    # 8 rows become int(0.3 * 8) = 2, which read between rows 1 and 2, and 5 and 6
    target = sample(value=50)
    assert copy_paste()([target, sample()])[0] is target
    assert copy_paste(ratio=(0.3, 0.3))([target, sample((0, 0, 1, 1))])[0] is target
    assert len(copy_paste(ratio=(0.3, 0.3))([target, sample((1, 1, 2, 2))])[0]["instances"]) == 1


def test_the_rate_is_the_share_of_images_that_receive_objects():
    source = sample((1, 1, 3, 3))
    target = sample((5, 5, 7, 7))
    torch.manual_seed(0)
    received = sum(copy_paste(rate=0.25)([target, source])[0] is not target for _ in range(400))
    assert abs(received - 100) < 35  # deviation 8.7
    assert copy_paste(rate=0.0)([target, source])[0] is target


def random_batch(seed):
    rng = np.random.default_rng(seed)
    batch = []
    for _ in range(5):
        height, width = rng.integers(20, 40, 2).tolist()
        corners = rng.integers(0, 12, (rng.integers(0, 5), 2))
        sides = rng.integers(1, 9, corners.shape)
        made = sample(*np.hstack([corners, corners + sides]).tolist(), size=(height, width))
        made["image"] = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
        made["instances"].gt_ids = torch.from_numpy(rng.integers(0, 2**40, len(corners)))
        batch.append(made)
    return batch


def test_invariants_of_any_batch():
    changed = 0
    for seed in range(40):
        torch.manual_seed(seed)
        batch = random_batch(seed)
        results = copy_paste(ratio=(0.3, 1.0))(batch)
        for target, source, result in zip(batch, batch[::-1], results, strict=True):
            if result is target:
                continue
            changed += 1
            objects = result["instances"]
            masks = objects.gt_masks.tensor
            sources = set(source["instances"].gt_ids.tolist())
            own = [i for i in target["instances"].gt_ids.tolist() if i in objects.gt_ids.tolist()]
            # the middle image is its own source; its own objects come first, too
            pasted = masks[len(own) :]
            assert objects.gt_ids.tolist()[: len(own)] == own
            assert 1 <= len(pasted) <= max(1, len(sources) - 1)
            assert set(objects.gt_ids.tolist()[len(own) :]) <= sources
            region = pasted.any(dim=0)
            assert not (masks[: len(own)] & region).any()
            assert boxes_of(result) == tight_boxes(masks)
            assert result["image"][:, ~region].equal(target["image"][:, ~region])
            assert objects.image_size == tuple(target["image"].shape[1:])
            for mask in target["instances"].gt_masks.tensor:
                assert all(2 * (mask & p).sum() < mask.sum() for p in pasted)
    assert changed > 100


def test_random_numbers_come_only_from_torch():
    def run():
        torch.manual_seed(4)
        return copy_paste(ratio=(0.3, 1.0))(random_batch(1))

    first = run()
    np.random.seed(9)  # noqa: NPY002  this generator must not matter
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for one, other in zip(first, run(), strict=True):
        assert one["image"].equal(other["image"]) and boxes_of(one) == boxes_of(other)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_objects_without_masks_and_polygons_are_refused():
    target, source = sample((1, 1, 3, 3)), sample((5, 5, 7, 7))
    source["instances"].gt_masks = PolygonMasks([[np.array([5.0, 5, 7, 5, 7, 7])]])
    with pytest.raises(UserError, match="INPUT.MASK_FORMAT bitmask"):
        copy_paste()([target, source])
    source["instances"].remove("gt_masks")
    with pytest.raises(UserError, match="MODEL.MASK_ON True"):
        copy_paste()([target, source])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 1.5}, "COPY_PASTE.RATE 1.5 is not in"),
        ({"ratio": (0.0, 1.0)}, r"COPY_PASTE.RATIO \(0.0, 1.0\)"),
        ({"ratio": (0.9, 0.3)}, r"COPY_PASTE.RATIO \(0.9, 0.3\)"),
        ({"ratio": (0.5, 1.1)}, r"COPY_PASTE.RATIO \(0.5, 1.1\)"),
        ({"discard_share": 0.0}, "COPY_PASTE.DISCARD_SHARE 0.0"),
        ({"behaviour": "code"}, "BEHAVIOUR 'code' is unknown; known: fixed, release"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        copy_paste(**settings)


def test_settings_come_from_the_config():
    cfg = CfgNode({"INPUT": {"COPY_PASTE": {"RATE": 0.5, "RATIO": [0.5, 1.0]}}})
    cfg.INPUT.COPY_PASTE.DISCARD_SHARE, cfg.INPUT.COPY_PASTE.BEHAVIOUR = 0.4, "release"
    paste = CopyPaste(cfg)
    assert (paste.rate, paste.ratio) == (0.5, (0.5, 1.0))
    assert (paste.discard_share, paste.behaviour) == (0.4, "release")
