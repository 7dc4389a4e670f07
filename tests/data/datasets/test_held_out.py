"""Validation part of a training split."""

from boxrefine_d2.data.datasets.held_out import held_out, split_of_training


def test_every_tenth_image_of_a_class_is_held_out():
    labels = [0, 1] * 25 + [2] * 9
    parts = held_out(labels)
    assert [place for place, out in enumerate(parts) if out] == [18, 19, 38, 39]


def test_the_parts_divide_the_split():
    labels = [0] * 30 + [1] * 29 + [0] * 12
    items = list(range(len(labels)))
    train, val = (split_of_training(items, labels, split) for split in ("train", "val"))
    assert len(val) == 6 and sorted(train + val) == items
    assert split_of_training(items, labels, "trainval") == items
    assert val == [9, 19, 29, 39, 49, 68]
