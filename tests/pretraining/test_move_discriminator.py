"""Projected discriminator: only its heads learn; its random mixing is computed by hand."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.pretraining.move_discriminator import (
    ProjectedDiscriminator,
    RandomMixing,
    judging_head,
    vary_colours,
)
from boxrefine_d2.pretraining.move_features import build_features

IMAGES = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    features = build_features("dino_mini", "random:0")
    return ProjectedDiscriminator(features, input_size=64, mix_channels=4, head_channels=(4, 8))


def test_channels_are_mixed_within_a_map_and_then_from_coarse_to_fine():
    torch.manual_seed(0)
    mixing = RandomMixing((3, 5), width=2)
    fine, coarse = torch.randn(1, 3, 4, 4), torch.randn(1, 5, 2, 2)

    def mix(convolution, x):
        weight = convolution.weight[:, :, 0, 0]
        return torch.einsum("oc,bchw->bohw", weight, x) + convolution.bias[:, None, None]

    def double(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    second = mix(mixing.across[1], double(mix(mixing.within[1], coarse)))
    first = mix(mixing.across[0], double(mix(mixing.within[0], fine) + second))
    outputs = mixing([fine, coarse])
    assert [x.shape for x in outputs] == [(1, 2, 8, 8), (1, 2, 4, 4)]
    assert_close(outputs[0], first)
    assert_close(outputs[1], second)
    assert RandomMixing((24, 40, 112, 320), 64).channels == [64, 64, 128, 256]


@pytest.mark.parametrize(
    ("side", "channels"), [(112, [6, 8, 16, 16, 16, 1]), (56, [6, 8, 16, 16, 1]), (4, [6, 1])]
)
def test_a_head_halves_its_grid_to_eight_cells(side, channels):
    head = judging_head(6, side, (8, 16))
    convolutions = [x for x in head if isinstance(x, torch.nn.Conv2d)]
    assert [6, *(x.out_channels for x in convolutions)] == channels
    logits = head.eval()(torch.zeros(1, 6, side, side))
    assert logits.shape == ((1, 1, 4, 4) if side > 8 else (1, 1, 1, 1))


def test_only_heads_and_images_have_gradients(discriminator):
    discriminator.requires_grad_(True).train()
    images = IMAGES.clone().requires_grad_(True)
    logits = discriminator(images)
    assert logits.shape[0] == 2 and logits.dim() == 2
    logits.mean().backward()
    learning = {n.partition(".")[0] for n, p in discriminator.named_parameters() if p.requires_grad}
    assert learning == {"heads"}
    assert all(p.grad is not None for p in discriminator.heads.parameters())
    assert images.grad.abs().sum() > 0
    assert not discriminator.features.training and discriminator.heads.training
    discriminator.requires_grad_(False)
    images = IMAGES.clone().requires_grad_(True)
    discriminator(images).mean().backward()
    assert images.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in discriminator.parameters())


def test_transformer_features_are_tokens_after_each_quarter():
    network = build_backbone("dino_mini", "random:0")
    features = build_features("dino_mini", "random:0")
    unit = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (unit - mean[:, None, None]) / std[:, None, None]
    maps = features(2 * unit - 1)
    assert [x.shape[1:] for x in maps] == [(192, s, s) for s in (16, 8, 4, 2)]
    with torch.no_grad():
        for place, block in ((0, 2), (2, 4), (3, 6)):
            tokens, _ = network.tokens_after(normalised, block - 7)
            expected = F.layer_norm(tokens[:, 1:], (192,)).transpose(1, 2).unflatten(2, (4, 4))
            expected = F.interpolate(expected, size=maps[place].shape[2:], mode="bilinear")
            assert_close(maps[place], expected, atol=1e-5, rtol=1e-5)


def test_a_classifier_of_timm_loads_without_its_head(tmp_path):
    torch.manual_seed(7)
    classifier = timm.create_model("tf_efficientnet_lite0").eval()
    path = tmp_path / "tf_efficientnet_lite0-0aa007d2.pth"
    torch.save(classifier.state_dict(), path)
    features = build_features("tf_efficientnet_lite0", str(path))
    assert features.channels == (24, 40, 112, 320)
    images = torch.randn(1, 3, 64, 64)
    x = classifier.bn1(classifier.conv_stem(images))
    expected = []
    for i, block in enumerate(classifier.blocks):
        x = block(x)
        if i in (1, 2, 4, 6):
            expected.append(x)
    with torch.no_grad():
        for output, reference in zip(features(images), expected, strict=True):
            assert_close(output, reference)
    assert not features.training and not any(p.requires_grad for p in features.parameters())


def test_colours_vary_by_brightness_saturation_and_contrast():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 4, 4) * 2 - 1
    varied = vary_colours(images)
    difference = varied.mean(dim=(1, 2, 3)) - images.mean(dim=(1, 2, 3))
    assert -0.5 <= difference.min() < -0.4 and 0.4 < difference.max() <= 0.5
    grey = images.mean(dim=1, keepdim=True).expand_as(images)
    varied_grey = vary_colours(grey)
    assert_close(varied_grey[:, 0], varied_grey[:, 2])  # saturation does not change grey
    centred = grey - grey.mean(dim=(1, 2, 3), keepdim=True)
    contrast = (varied_grey - varied_grey.mean(dim=(1, 2, 3), keepdim=True))[:, 0, 0, 0] / centred[
        :, 0, 0, 0
    ]
    assert 0.5 <= contrast.min() < 0.6 and 1.4 < contrast.max() <= 1.5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_of_mine", "FEATURES efficientnet_of_mine is unknown"),
        ("dino_resnet50", "FEATURES dino_resnet50 is no transformer"),
    ],
)
def test_unknown_features_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        build_features(name, "random:0")


def test_features_without_an_address_of_weights_are_refused():
    name = "mobilenetv4_conv_small"
    assert not timm.get_pretrained_cfg(name).url
    with pytest.raises(UserError, match=f"FEATURES {name}: timm knows no address of its weights"):
        build_features(name, "")


@pytest.mark.parametrize("size", [32, 72])
def test_sizes_that_do_not_fit_four_scales_are_refused(size):
    with pytest.raises(UserError, match=f"INPUT_SIZE {size}: a multiple of 32 pixels, 64 or more"):
        ProjectedDiscriminator(
            build_features("dino_mini", "random:0"),
            input_size=size,
            mix_channels=4,
            head_channels=(4, 8),
        )
