"""The baselines of `make bench` compute the same results as the package."""

import published
import pytest
import torch
from detectron2.utils.events import EventStorage
from torch.testing import assert_close

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import DinoTransformer, VisionTransformer
from boxrefine_d2.refinement import BoxRefiner
from boxrefine_d2.structures import FeatureMap


def tiny_transformer() -> VisionTransformer:
    torch.manual_seed(0)
    return DinoTransformer(patch_size=16, dim=16, depth=3, num_heads=2).eval()


@torch.no_grad()
def test_the_complete_transformer_equals_the_shortened_last_block():
    net = tiny_transformer()
    images = torch.randn(2, 3, 48, 80)
    qkv, tokens = published.run_transformer(net, images)
    last = net.forward_last_block(images)
    assert_close(qkv.unflatten(2, (3, -1)).transpose(1, 2), last.qkv)
    assert_close(tokens[:, 0], last.cls)
    assert_close(published.keys_of(qkv), net(images).tokens())


@pytest.mark.parametrize("shape", [(6, 8), (13, 17)], ids=str)
def test_lost_on_single_images_gives_the_boxes_of_the_batch(shape):
    torch.manual_seed(0)
    h, w = shape
    size = (16 * h - 5, 16 * w - 3)
    # neighbours are alike, and components therefore have more than one cell
    data = torch.nn.functional.avg_pool2d(torch.randn(8, 4, h + 4, w + 4), 5, stride=1)
    features = FeatureMap(data, 16, [size] * 8)
    expected = build_rule("lost")(features)
    boxes = [published.lost_box(k, shape, 16, size, stable=True) for k in features.tokens()]
    assert_close(torch.stack(boxes), torch.cat([of_image.boxes for of_image in expected]))
    assert len({tuple(box.tolist()) for box in boxes}) > 1


def test_three_forward_passes_give_the_losses_and_gradients_of_one():
    cfg = boxrefine_cfg()
    cfg.INPUT.SQUARE_SIZE = 64
    cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS = "dino_mini", "random:0"
    cfg.MODEL.MAP_DETECTOR.TRUNK, cfg.MODEL.MAP_DETECTOR.WEIGHTS = "resnet18", "random"
    torch.manual_seed(0)
    refiner = BoxRefiner(cfg).train()
    net = refiner.map_network
    refiner.set_phase("refine")
    with torch.no_grad():
        net.cls_token += 0.1  # differs from the frozen copy, or the preservation loss would be 0
    images = [torch.randint(0, 256, (3, 64, 64)).float() for _ in range(2)]
    with EventStorage():
        losses = refiner([{"image": image} for image in images])
    gradient = _gradient(losses, net)
    inputs = normalise_and_pad(images, 16)
    parts = net, refiner.reference_network, refiner.map_detector
    expected = published.refine_losses(*parts, inputs)
    assert losses["loss_preservation"] > 0
    assert_close(losses, expected, rtol=1e-4, atol=1e-6)
    # all entries together, because a deep, untrained h amplifies the rounding of single entries
    difference = (gradient - _gradient(expected, net)).norm() / gradient.norm()
    assert difference < 1e-2


def _gradient(losses, net):
    net.zero_grad()
    sum(losses.values()).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])
