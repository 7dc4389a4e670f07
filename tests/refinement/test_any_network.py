"""Refinement of a network that is neither a transformer nor a segmenter, but a `MapNetwork`."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.networks.map_network import MapNetwork
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.refinement import BoxRefiner, MapDetector, SetCriterion
from boxrefine_d2.refinement.map_inputs import build_map_input
from boxrefine_d2.refinement.preservation import PreservationLoss
from boxrefine_d2.refinement.trunks import build_trunk
from boxrefine_d2.structures import FeatureMap

SIDE = 64


class ToyCNN(MapNetwork):
    """Network with a map of four channels and stride 8, and a batch norm."""

    facets = ("output",)
    stride = 8

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, kernel_size=4, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 4, kernel_size=2, stride=2)

    def forward(self, images, facet=None, image_sizes=None):
        data = self.last(self.norm(self.first(images)))
        sizes = image_sizes or [tuple(images.shape[-2:])] * len(images)
        return FeatureMap(data, self.stride, sizes, "output")


@pytest.fixture
def refiner():
    torch.manual_seed(0)
    rule = build_rule("lost", centre=True)
    show = build_map_input(
        "heatmap_as_image", with_cls=False, with_tokens=ToyCNN.has_tokens, rule=rule
    )
    criterion = SetCriterion(class_weight=2, l1_weight=5, giou_weight=2, no_object_weight=0.1)
    trunk = build_trunk("small_cnn", outputs=18, norm="BN", weights="random")
    return BoxRefiner(
        map_network=ToyCNN(),
        map_detector=MapDetector(trunk=trunk, num_boxes=3, criterion=criterion),
        discovery=rule,
        discovery_name="lost",
        map_input=show,
        preservation=PreservationLoss(weight=1.0, on="map", reduction="mean"),
        square_size=SIDE,
        reference_batch_statistics=True,
    ).train()


def changed_parts(model, phase):
    """Return the parts that a step in a phase changes, and the losses of the step."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.set_phase(phase)
    with EventStorage():
        losses = model([{"image": image} for image in images])
    sum(losses.values()).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    model.zero_grad()
    changed = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    return {name.partition(".")[0] for name in changed}, losses


def test_it_is_refined_beside_its_frozen_copy(refiner):
    changed, losses = changed_parts(refiner, "detector")
    assert changed == {"map_detector"} and "loss_preservation" not in losses
    changed, losses = changed_parts(refiner, "refine")
    assert changed == {"map_network"} and losses["loss_preservation"] == 0
    assert refiner.weight_distance() > 0
    assert changed_parts(refiner, "refine")[1]["loss_preservation"] > 0
    assert refiner.map_network.first_learner is refiner.map_network.first


def test_its_boxes_before_and_after(refiner):
    image = torch.zeros(3, 40, 56, dtype=torch.uint8)
    (output,) = refiner.eval()([{"image": image, "height": 80, "width": 112}])
    assert output["pseudo_boxes"].keys() == {"lost", "refined"}
    assert output["pseudo_boxes"]["refined"].input_size == (80, 112)
    assert output["feature_shift"] == 0


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_it_prepares_images_by_its_own_stride_and_padding(padding):
    network = ToyCNN()
    network.padding = padding
    images = [torch.full((3, 13, 17), 255, dtype=torch.uint8), torch.zeros(3, 16, 20)]
    prepared = network.prepare(images)
    assert prepared.shape == (2, 3, 16, 24)
    assert prepared.equal(normalise_and_pad(images, 8, padding))
    assert prepared[0, :, 13:].any() == (padding == "reflect")
