"""The signals of networks that draw planted maps, and of a real network."""

import pytest
import torch
from torch import nn

from boxrefine_d2.data import load_spec
from boxrefine_d2.improvement import ImageSignals, Measurement, measure
from boxrefine_d2.improvement.signals import agreement, average_hash
from boxrefine_d2.improvement.summary import likeness, signals_of_round, stopped_at_once
from boxrefine_d2.networks import MapNetwork, build_backbone
from boxrefine_d2.pseudo_labels import DiscoverySettings
from boxrefine_d2.structures import FeatureMap

SETTINGS = DiscoverySettings("lost", parameters={"k_patches": 4}, batch_size=3)


class Planted(MapNetwork):
    """Network whose map shows an object in cells of a 4 x 6 grid, the same on each image."""

    facets, stride = ("key",), 16

    def __init__(self, rows, columns, damaged=()):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows, self.columns, self.damaged = rows, columns, damaged

    def forward(self, images, facet=None, image_sizes=None):
        data = torch.zeros(len(images), 2, 4, 6)
        data[:, 0] = 1.0
        data[:, :, self.rows, self.columns] = torch.tensor([-1.0, 1.0])[None, :, None, None]
        brightness = images.mean(dim=(1, 2, 3))
        for place in range(len(images)):
            if any(abs(float(brightness[place]) - other) < 1e-4 for other in self.damaged):
                data[place] = float("nan")
        return FeatureMap(data, 16, image_sizes or [(64, 96)] * len(images), "key")


def records(folder):
    return load_spec(f"folder:{folder}").records


def test_planted_objects_give_signals_by_hand(rendered):
    """Before, the object is in the middle and equals its mirror image; after, it is at the left."""
    before = Planted(slice(1, 3), slice(2, 4))
    after = Planted(slice(1, 3), slice(0, 2))
    found = measure(records(rendered), [before, after, before], SETTINGS)
    assert [image.name for image in found.images] == [f"{i}.png" for i in range(10)]
    assert found.failed == {}
    for image in found.images:
        assert image.flip == (1.0, 0.0, 1.0)
        middle, left = ((x, 0.25, x + 1 / 3, 0.75) for x in (1 / 3, 0.0))
        assert image.box == tuple(pytest.approx(box) for box in (middle, left, middle))
        assert image.overlap == (1.0, 0.0, 1.0)
        assert image.shift[0] == image.shift[2] == 0.0 and image.shift[1] > 0.1
        assert image.rules[0] == image.rules[2]
    signals = signals_of_round(found.images, 1, {})
    assert signals.flip_agreement.difference.mean == -100
    assert signals.area_ratio.mean == pytest.approx(1)
    assert signals.likeness.before.mean == signals.likeness.after.mean == pytest.approx(100)
    assert signals_of_round(found.images, 2, {}).overlap.mean == 100


def test_an_image_whose_map_is_not_finite_fails_alone(rendered):
    sound = Planted(slice(1, 3), slice(2, 4))
    one = build_input(sound, records(rendered)[4])
    found = measure(records(rendered), [sound, Planted(slice(1, 3), slice(0, 2), [one])], SETTINGS)
    assert len(found.images) == 9 and list(found.failed) == ["4.png"]
    assert "not finite" in found.failed["4.png"]


def build_input(network, record):
    from boxrefine_d2.data.mappers import WholeImageMapper

    image = WholeImageMapper(800)(record)["image"]
    return float(network.prepare([image]).mean())


def test_unreadable_images_are_counted(rendered, tmp_path):
    for path in rendered.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "3.png").write_bytes((rendered / "3.png").read_bytes()[:200])
    network = Planted(slice(1, 3), slice(2, 4))
    found = measure(records(tmp_path), [network, network], SETTINGS)
    assert len(found.images) == 9 and list(found.failed) == ["3.png"]


def test_two_equal_networks_differ_in_nothing(rendered):
    network = build_backbone("dino_mini", "random:0")
    settings = DiscoverySettings("tokencut", "dino_mini", batch_size=4)
    found = measure(records(rendered), [network, network], settings)
    signals = signals_of_round(found.images, 1, {})
    assert signals.images == 10
    for change in (signals.flip_agreement, signals.rule_agreement):
        assert change.difference.mean == 0 and change.before == change.after
    assert signals.overlap.mean == 100 and signals.feature_shift.mean == 0
    assert signals.area_ratio.mean == 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([[0, 0, 2, 2]], [[0, 0, 2, 1]], 0.5),
        ([[0, 0, 2, 2]], [], 0.0),
        ([], [], 1.0),
    ],
)
def test_agreement_of_boxes_that_may_be_missing(one, other, expected):
    boxes = [torch.tensor(box, dtype=torch.float64).reshape(-1, 4) for box in (one, other)]
    assert agreement(*boxes) == expected


def test_nearly_identical_images_share_their_hash(noise):
    image = noise(0)
    assert average_hash(image) == average_hash(image + 1) != average_hash(noise(1))
    small = torch.nn.functional.interpolate(image[None], scale_factor=2)[0]
    assert average_hash(image) == average_hash(small)
    assert len(average_hash(image)) == 16


def row(number, fingerprint="0", area=(0.4, 0.4)):
    pair = (0.5, 0.5)
    boxes = tuple((0.0, 0.0, share, 1.0) if share else None for share in area)
    return ImageSignals(number, str(number), fingerprint, pair, pair, boxes, (0.0, 0.1), pair)


def test_near_duplicates_are_the_copies_only():
    rows = [row(i, fingerprint) for i, fingerprint in enumerate("aabcca")]
    assert Measurement(rows, {}).near_duplicates == 3


def test_images_without_a_box_are_not_in_the_area_ratio():
    rows = [row(0, area=(0.4, 0.8)), row(1, area=(0.4, 0.2)), row(2, area=(0.0, 0.9))]
    assert signals_of_round(rows, 1, {}).area_ratio.mean == pytest.approx(1)
    assert signals_of_round([row(0, area=(0.0, 0.0))], 1, {}).area_ratio.mean == 1


def test_likeness_is_the_mean_iou_with_the_boxes_of_the_other_images():
    boxes = [(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), None]
    assert likeness(boxes) == pytest.approx([1 / 3, 0.5 / 3, 0.5 / 3, 0])
    assert likeness(boxes[:1]) == [0]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, False),
        ({"drift": [{}, {}, {}], "stopped": None}, False),
        ({"drift": [{}, {}], "stopped": "iteration 3: x"}, True),
        ({"drift": [{}, {}, {}], "stopped": "iteration 6: x"}, False),
    ],
)
def test_a_stop_at_the_first_check_leaves_the_network_as_it_was(record, expected):
    assert stopped_at_once(record) is expected
