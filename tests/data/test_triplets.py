"""Triplets of images, and their inputs."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.loaders import TrainLoader
from boxrefine_d2.data.mappers.classified import ClassMapper
from boxrefine_d2.data.mappers.triplet import TripletMapper
from boxrefine_d2.data.triplets import TripletSampler
from boxrefine_d2.errors import UserError

LABELS = [4, 0, 4, 7, 0, 4, 0, 0]  # four images of class 0, three of 4, one of 7


def test_every_image_is_the_anchor_once_per_epoch():
    sampler = TripletSampler(LABELS, seed=3)
    assert len(sampler) == 8
    orders = [[sampler(epoch, index).anchor for index in range(8)] for epoch in range(4)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_positive_and_negative_are_uniform():
    """Count the draws of each anchor against the shares that the definition gives."""
    sampler, draws = TripletSampler(LABELS, seed=0), 3000
    for anchor, label in enumerate(LABELS):
        triplets = [sampler.with_anchor(anchor, epoch, 5) for epoch in range(draws)]
        assert {triplet.anchor for triplet in triplets} == {anchor}
        same = [k for k, other in enumerate(LABELS) if other == label and k != anchor] or [anchor]
        shares = dict.fromkeys(same, 1 / len(same))
        check(Counter(triplet.positive for triplet in triplets), shares, draws)
        others = set(LABELS) - {label}
        shares = {
            k: 1 / len(others) / LABELS.count(other)
            for k, other in enumerate(LABELS)
            if other != label
        }
        check(Counter(triplet.negative for triplet in triplets), shares, draws)


def check(counts, shares, draws):
    assert set(counts) == set(shares)
    for key, share in shares.items():
        deviation = np.sqrt(draws * share * (1 - share))
        assert abs(counts[key] - draws * share) <= 4.5 * deviation


def test_a_triplet_depends_on_seed_epoch_and_index_alone():
    forwards, backwards = TripletSampler(LABELS, seed=3), TripletSampler(LABELS, seed=3)
    places = [(epoch, index) for epoch in range(5) for index in range(8)]
    expected = [forwards(*place) for place in places]
    assert [backwards(*place) for place in reversed(places)] == expected[::-1]
    other = TripletSampler(LABELS, seed=4)
    assert [other(*place) for place in places] != expected
    assert len({(t.positive, t.negative) for t in expected if t.anchor == 1}) > 1


@pytest.mark.parametrize("labels", [[], [2], [2, 2, 2]])
def test_one_class_is_refused(labels):
    with pytest.raises(
        UserError, match=f"the {len(labels)} images have {len(set(labels))}; add images of another"
    ):
        TripletSampler(labels, seed=0)


@pytest.fixture
def records(tmp_path):
    """Return the records of two classes of three images and one; each image has its own grey."""
    for shade, name in enumerate(("cat/a", "cat/b", "cat/c", "dog/a")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 7), (10 * shade,) * 3).save(tmp_path / f"{name}.png")
    return load_spec(f"classes:{tmp_path}").records


def loader_of(records):
    mapper = ClassMapper(resize=8, crop=6, flip=True, seed=2)
    return TrainLoader(
        records,
        TripletMapper(records, mapper),
        batch_size=2,
        seed=2,
        rank=0,
        ranks=1,
        num_workers=0,
    )


def test_the_loader_draws_the_triplets_and_resumes(records):
    batches = list(islice(iter(loader_of(records)), 6))
    samples = [sample for batch in batches for sample in batch]
    sampler = TripletSampler([0, 0, 0, 1], seed=2)
    for position, sample in enumerate(samples):
        triplet = sampler(*divmod(position, 4))
        for role, place in triplet._asdict().items():
            assert sample[role]["image"].unique().tolist() == [10 * place]
            assert sample[role]["image_label"] == (place == 3)
        assert sample["image_id"] == sample["anchor"]["image_id"] == triplet.anchor + 1
    resumed = loader_of(records)
    resumed.start_iteration = 4
    again = [sample for batch in islice(iter(resumed), 2) for sample in batch]
    for sample, expected in zip(again, samples[8:], strict=True):
        for role in ("anchor", "positive", "negative"):
            assert sample[role]["frame"] == expected[role]["frame"]
            assert torch.equal(sample[role]["image"], expected[role]["image"])


def test_the_three_augmentations_are_independent(records):
    samples = [sample for batch in islice(iter(loader_of(records)), 20) for sample in batch]
    # The only dog is its own positive, in another crop.
    pairs = [(s["anchor"], s["positive"]) for s in samples if s["anchor"]["image_label"] == 1]
    assert len(pairs) == 10
    assert all(anchor["file_name"] == positive["file_name"] for anchor, positive in pairs)
    assert any(anchor["frame"] != positive["frame"] for anchor, positive in pairs)


def test_an_unreadable_anchor_is_replaced(records, tmp_path):
    (tmp_path / "cat/b.png").write_text("damaged")
    loader = loader_of(records)
    samples = [sample for batch in islice(iter(loader), 8) for sample in batch]
    assert loader.unreadable
    for sample in samples:
        labels = [sample[role]["image_label"] for role in ("anchor", "positive", "negative")]
        assert labels in ([0, 0, 1], [1, 1, 0])
        assert not any(
            sample[role]["file_name"].endswith("b.png")
            for role in ("anchor", "positive", "negative")
        )
