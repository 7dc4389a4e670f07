"""A ResNet with torchvision's names gives the same maps in Detectron2."""

import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_resnet_backbone
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.networks.detectron2_names import to_detectron2_names


def filled(network: nn.Module, seed: int) -> nn.Module:
    """Fill the network at random, with values that keep the scale of maps through fifty layers."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(value, low, high):
        value.copy_(low + (high - low) * torch.rand(value.shape, generator=generator))

    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, generator=generator)
            elif isinstance(part, nn.BatchNorm2d):
                uniform(part.weight, 0.3, 0.8)
                uniform(part.bias, -0.3, 0.3)
                uniform(part.running_mean, -0.3, 0.3)
                uniform(part.running_var, 0.5, 2)
    return network.eval()


def detectron2_trunk(depth: int, norm: str) -> nn.Module:
    cfg = get_cfg()
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.NORM = norm
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    return build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()


@pytest.mark.parametrize(
    ("depth", "norm"), [(50, "BN"), (18, "FrozenBN")], ids=["resnet50", "resnet18"]
)
def test_it_gives_torchvisions_maps(depth, norm):
    source = filled(getattr(torchvision.models, f"resnet{depth}")(weights=None), seed=0)
    trunk = detectron2_trunk(depth, norm)
    renamed = to_detectron2_names(source.state_dict())
    left = trunk.load_state_dict(renamed, strict=False)
    assert left.unexpected_keys == []
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = trunk(images)
        x = source.maxpool(source.relu(source.bn1(source.conv1(images))))
        for stage in (1, 2, 3, 4):
            x = getattr(source, f"layer{stage}")(x)
            assert x.abs().mean() > 0.05  # the map is not zero
            assert_close(found[f"res{stage + 1}"], x, atol=1e-5, rtol=0)


def test_names_of_each_kind():
    names = {
        "conv1.weight": "stem.conv1.weight",
        "bn1.weight": "stem.conv1.norm.weight",
        "bn1.running_var": "stem.conv1.norm.running_var",
        "layer1.0.conv1.weight": "res2.0.conv1.weight",
        "layer1.0.bn3.bias": "res2.0.conv3.norm.bias",
        "layer2.3.bn2.running_mean": "res3.3.conv2.norm.running_mean",
        "layer3.0.downsample.0.weight": "res4.0.shortcut.weight",
        "layer4.0.downsample.1.bias": "res5.0.shortcut.norm.bias",
        "layer4.2.conv3.weight": "res5.2.conv3.weight",
    }
    left_out = ("fc.weight", "fc.bias", "bn1.num_batches_tracked")
    values = {name: torch.tensor(float(i)) for i, name in enumerate([*names, *left_out])}
    assert to_detectron2_names(values) == {own: values[name] for name, own in names.items()}
