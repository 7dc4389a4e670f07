"""Maps of the CAM family against independent formulas, and what they leave behind."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.cam_family import DRAWN_MAPS, class_maps, named_maps
from boxrefine_d2.networks.image_classifier import ImageClassifier
from boxrefine_d2.networks.trunks import TokenTrunk, Trunk
from boxrefine_d2.networks.vit import DinoTransformer

NAMES = tuple(DRAWN_MAPS)
CLASSES = torch.tensor([2, 0])


@pytest.fixture
def classifier():
    """A classifier with features of both signs on cells of 8 pixels."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Tanh(), nn.Conv2d(6, 5, 2, stride=2))
    network = ImageClassifier(Trunk(layers, 5, 8), "toy", 4, ("a", "b", "c", "d")).eval()
    return network.requires_grad_(True)


@pytest.fixture
def images():
    return torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))


def drawn(classifier, images, name):
    """Return the map of one name and the features, without gradients as in an evaluation."""
    pytest.importorskip("torchcam")
    with torch.no_grad():
        features = classifier.trunk(images)
        return DRAWN_MAPS[name](classifier, images, features, CLASSES), features


def gradients(classifier, features):
    """Return the gradient of each image's score, one image at a time."""
    rows = []
    for i, label in enumerate(CLASSES.tolist()):
        leaf = features[i : i + 1].clone().requires_grad_()
        classifier.head(leaf.flatten(2).mean(2))[0, label].backward()
        rows.append(leaf.grad)
    return torch.cat(rows)


def test_cam_sums_the_channels_by_the_weights_of_the_class(classifier, images):
    maps, features = drawn(classifier, images, "cam")
    for heatmap, image, label in zip(maps, features, CLASSES.tolist(), strict=True):
        weights = classifier.head.weight[label]
        assert_close(heatmap, sum(w * channel for w, channel in zip(weights, image, strict=True)))


def test_grad_cam_weighs_channels_by_their_mean_gradient(classifier, images):
    maps, features = drawn(classifier, images, "grad_cam")
    weights = gradients(classifier, features).mean(dim=(2, 3), keepdim=True)
    assert_close(maps, (weights * features).sum(1).clamp(min=0))
    assert (maps == 0).any() and (maps > 0).any()


def test_layer_cam_weighs_each_cell_by_its_positive_gradient(classifier, images):
    maps, features = drawn(classifier, images, "layer_cam")
    weights = gradients(classifier, features).clamp(min=0)
    assert_close(maps, (weights * features).sum(1).clamp(min=0))
    assert not torch.equal(maps, drawn(classifier, images, "grad_cam")[0])


def test_grad_cam_plus_plus_is_the_formula_of_the_paper(classifier, images):
    maps, features = drawn(classifier, images, "grad_cam_plus_plus")
    gradient = gradients(classifier, features)
    for i, k in ((0, 1), (1, 3)):  # equation 19 for some channels, cell by cell
        total = features[i, k].sum()
        weight = sum(
            g**2 / (2 * g**2 + total * g**3) * max(g, 0.0) for g in gradient[i, k].flatten()
        )
        gradient_free = classifier.head.weight[CLASSES[i], k].clamp(min=0)
        assert_close(weight, gradient_free / (2 + gradient_free * features[i, k].mean()))
    weights = torch.zeros(2, 5)
    for i, label in enumerate(CLASSES.tolist()):
        own = classifier.head.weight[label].clamp(min=0)
        weights[i] = own / (2 + own * features[i].mean(dim=(1, 2)))
    assert_close(maps, (weights[..., None, None] * features).sum(1).clamp(min=0))


def test_score_cam_weighs_a_channel_by_the_score_of_its_masked_image(classifier, images):
    maps, features = drawn(classifier, images, "score_cam")
    for i, label in enumerate(CLASSES.tolist()):
        scores = []
        for channel in features[i]:
            mask = (channel - channel.min()) / (channel.max() - channel.min())
            large = F.interpolate(
                mask[None, None], size=images.shape[2:], mode="bilinear", align_corners=False
            )
            masked = classifier.trunk(images[i : i + 1] * large)
            scores.append(classifier.outputs_of(masked)[0, label])
        weights = torch.stack(scores).softmax(0)
        assert_close(maps[i], (weights[:, None, None] * features[i]).sum(0).clamp(min=0))


def test_maps_of_a_transformer_lie_on_its_grid():
    pytest.importorskip("torchcam")
    torch.manual_seed(0)
    trunk = TokenTrunk(DinoTransformer(patch_size=8, dim=16, depth=1, num_heads=2))
    network = ImageClassifier(trunk, "toy", 4).eval()
    images = torch.randn(2, 3, 24, 40)
    with torch.no_grad():
        features = network.trunk(images)
        assert features.shape == (2, 16, 3, 5)
        for name in NAMES:
            raw = DRAWN_MAPS[name](network, images, features, CLASSES)
            assert raw.shape == (2, 3, 5), name
        maps = class_maps(network, images, features, CLASSES, NAMES)
    assert [list(each) for each in maps] == [list(NAMES)] * 2
    for heatmap in maps[1].values():
        assert heatmap.shape == (24, 40)
        assert heatmap.min() >= 0 and 0.5 < heatmap.max() <= 1


def hooks(network):
    return [
        hook
        for module in network.modules()
        for table in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        for hook in table
    ]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stays_on_the_classifier(classifier, images, name):
    drawn(classifier, images, name)
    assert not hooks(classifier)
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize("name", ["grad_cam", "layer_cam", "score_cam"])
def test_nothing_stays_after_an_error(classifier, images, name, monkeypatch):
    seen = []

    def fail(features):
        seen.append(features)
        raise RuntimeError("no scores")

    monkeypatch.setattr(classifier, "outputs_of", fail)
    with pytest.raises(RuntimeError, match="no scores"):
        drawn(classifier, images, name)
    assert seen and not hooks(classifier)


def cfg_with(*sources):
    cfg = boxrefine_cfg()
    cfg.LOCALIZATION.SOURCES = [list(words) for words in sources]
    return cfg


def test_only_maps_that_a_source_names_are_drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcam", None)
    assert named_maps(cfg_with(["weight_map"], ["cam", "arm"])) == ("cam",)
    assert named_maps(cfg_with(["grad_cam_plus_plus"])) == ("cam", "grad_cam_plus_plus")


def test_without_torchcam_the_install_command_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcam", None)
    with pytest.raises(UserError, match=r"layer_cam needs torchcam .*boxrefine_d2\[wsol\]"):
        named_maps(cfg_with(["layer_cam"]))
