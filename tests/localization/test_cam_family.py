"""The CAM family by torchcam, against formulas that are written out here."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.localization import cam_family
from boxrefine_d2.localization.cam_family import METHODS, family_maps
from boxrefine_d2.networks.image_classifier import new_classifier


@pytest.fixture(scope="module")
def classifier():
    network = new_classifier("resnet_mini", "", 3, seed=0, classes=("a", "b", "c"))
    return network.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([2, 0])


def features_and_gradients(classifier, images):
    features = classifier.trunk(images).detach().requires_grad_()
    scores = classifier.head(features.mean((2, 3)))
    [gradients] = torch.autograd.grad(scores[torch.arange(2), CLASSES].sum(), features)
    return features.detach(), gradients


def test_grad_cam_weighs_channels_by_their_mean_gradient(classifier, images):
    features, gradients = features_and_gradients(classifier, images)
    expected = (features * gradients.mean((2, 3), keepdim=True)).sum(1).relu()
    drawn = family_maps(classifier, images, CLASSES, ["grad_cam"])["grad_cam"]
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_of_a_linear_head_is_the_positive_part_of_cam(classifier, images):
    with torch.no_grad():
        features = classifier.trunk(images)
        cam = classifier.activation(features, CLASSES).relu()
    drawn = family_maps(classifier, images, CLASSES, ["grad_cam"])["grad_cam"]
    cells = features.shape[2] * features.shape[3]
    torch.testing.assert_close(drawn * cells, cam, rtol=1e-4, atol=1e-5)


def test_layer_cam_weighs_each_place_by_its_positive_gradient(classifier, images):
    features, gradients = features_and_gradients(classifier, images)
    expected = (features * gradients.relu()).sum(1).relu()
    drawn = family_maps(classifier, images, CLASSES, ["layer_cam"])["layer_cam"]
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-7)


@torch.no_grad()
def test_score_cam_weighs_channels_by_the_score_of_what_they_show(classifier, images):
    features = classifier.trunk(images)
    low, high = features.amin((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
    masks = F.interpolate(
        (features - low) / (high - low + 1e-8), size=(64, 96), mode="bilinear", align_corners=False
    )
    expected = []
    for image, of_image, mask, chosen in zip(images, features, masks, CLASSES, strict=True):
        seen = classifier.outputs_of(classifier.trunk(mask[:, None] * image))[:, chosen]
        base = classifier.outputs_of(classifier.trunk(image[None]))[0, chosen]
        weights = (seen - base).softmax(0)
        expected.append((weights[:, None, None] * of_image).sum(0).relu())
    drawn = family_maps(classifier, images, CLASSES, ["score_cam"])["score_cam"]
    torch.testing.assert_close(drawn, torch.stack(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_drawn_without_gradients_left_behind(classifier, images, name):
    with torch.no_grad():
        drawn = family_maps(classifier, images, CLASSES, [name])[name]
    assert drawn.shape == (2, 4, 6)
    assert drawn.isfinite().all() and drawn.min() >= 0
    assert all(p.grad is None and p.requires_grad for p in classifier.parameters())
    assert not classifier.training


def hooks(network):
    return [
        hook
        for module in network.modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        for hook in getattr(module, kind)
    ]


def test_no_hook_stays_even_after_an_error(classifier, images):
    family_maps(classifier, images, CLASSES, list(METHODS)[:3])
    assert not hooks(classifier)
    with pytest.raises(RuntimeError, match="out of bounds"):
        family_maps(classifier, images, torch.tensor([99, 0]), ["grad_cam"])
    assert not hooks(classifier)
    assert all(p.requires_grad for p in classifier.parameters())


def test_tokens_on_a_grid_that_is_no_square():
    network = new_classifier("dino_mini", "random:0", 2, seed=0, classes=("a", "b"))
    images = torch.randn(1, 3, 32, 64)
    drawn = family_maps(network, images, torch.tensor([1]), ["grad_cam", "layer_cam"])
    assert {each.shape for each in drawn.values()} == {(1, 2, 4)}


def test_without_torchcam_a_line_says_what_to_install(monkeypatch, classifier, images):
    monkeypatch.setitem(__import__("sys").modules, "torchcam", None)
    with pytest.raises(UserError, match=r"pip install 'boxrefine_d2\[wsol\]'"):
        cam_family.family_maps(classifier, images, CLASSES, ["grad_cam"])
    assert family_maps(classifier, images, CLASSES, []) == {}
