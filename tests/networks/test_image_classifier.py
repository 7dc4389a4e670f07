"""Classifier and its map: the printed example, files, and the form that refinement changes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks import build_backbone, padding_multiple
from boxrefine_d2.networks.distilled_heads import HeadsForm, new_heads
from boxrefine_d2.networks.image_classifier import (
    ClassifierMap,
    ImageClassifier,
    check_classes,
    new_classifier,
    pixel_maps,
    read_classifier,
)
from boxrefine_d2.networks.trunks import Trunk
from boxrefine_d2.networks.weight_map import WeightMapForm, new_weight_map

CLASSES = ("cat", "dog", "été")


@pytest.fixture(scope="module")
def classifier():
    return new_classifier("resnet_mini", "random:1", 3, seed=2, classes=CLASSES)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def file_of(network, path):
    path.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    return path


def test_the_activation_of_the_printed_example():
    network = ImageClassifier(Trunk(nn.Identity(), 2, 1), "toy", 1)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 0.5]]))
    features = torch.tensor([[[[1.0, 2.0], [0.0, 1.0]], [[0.0, 1.0], [2.0, 0.0]]]])
    maps = network.activation(features, torch.tensor([0]))
    assert maps[0].tolist() == [[1.0, 2.5], [1.0, 1.0]]
    assert (pixel_maps(maps, (2, 2))[0] > 0.6).tolist() == [[False, True], [False, False]]


def test_outputs_are_the_head_of_the_mean_and_the_mean_of_the_activations(classifier, images):
    features = classifier.trunk(images)
    outputs = classifier.outputs_of(features)
    assert_close(outputs, classifier.head(F.adaptive_avg_pool2d(features, 1).flatten(1)))
    for label in range(3):
        maps = classifier.activation(features, torch.tensor([label, label]))
        assert_close(maps.mean(dim=(1, 2)) + classifier.head.bias[label], outputs[:, label])


def test_the_map_is_the_scaled_activation_of_the_predicted_class(classifier, images):
    found = classifier(images, image_sizes=[(30, 48), (32, 41)])
    assert (found.facet, found.stride) == ("heatmap", 1)
    assert found.data.shape == (2, 1, 32, 48)
    features = classifier.trunk(images)
    for heatmap, image in zip(found.data, features, strict=True):
        label = classifier.head(image.mean(dim=(1, 2))).argmax()
        raw = sum(w * c for w, c in zip(classifier.head.weight[label], image, strict=True))
        scaled = (raw - raw.min()) / (raw.max() - raw.min())
        large = F.interpolate(scaled[None, None], size=(32, 48), mode="bilinear")
        assert_close(heatmap, large[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="facet 'heatmap' only, not 'key'"):
        classifier(images, "key")


def test_a_constant_map_becomes_0():
    assert not pixel_maps(torch.full((1, 2, 2), 3.0), (4, 4)).any()


def test_bfloat16_gives_almost_the_same_map(classifier, images):
    half = copy.deepcopy(classifier).to(torch.bfloat16)(images).data
    assert half.dtype == torch.float32
    assert (half - classifier(images).data).abs().mean() < 0.05


def test_a_file_builds_the_classifier_without_further_settings(classifier, images, tmp_path):
    path = file_of(classifier, tmp_path / "a.safetensors")
    for network in (read_classifier(path), build_backbone("classifier", path)):
        assert (network.classes, network.trunk_name) == (CLASSES, "resnet_mini")
        assert network(images).data.equal(classifier(images).data)
        assert network.weights_info.source == "a.safetensors"
    assert padding_multiple("classifier", str(path)) == 16


def test_a_weight_map_is_a_backbone_too(images, tmp_path):
    network = new_weight_map(WeightMapForm("resnet_mini"), "random", seed=0).eval()
    path = file_of(network, tmp_path / "g.safetensors")
    assert build_backbone("weight_map", path)(images).data.equal(network(images).data)
    assert padding_multiple("weight_map", str(path)) == 16


def test_heads_of_sd_cam_are_a_backbone_too(images, tmp_path):
    network = new_heads(HeadsForm("dino_mini", CLASSES), "random", seed=0)
    path = file_of(network, tmp_path / "heads.safetensors")
    features = build_backbone("distilled_heads", path)(images)
    assert features.data.equal(network(images).data)
    assert features.facet == "heatmap" and features.data.amax() == 1
    assert padding_multiple("distilled_heads", str(path)) == 16


@pytest.mark.parametrize("weights", [None, "", "random:0"])
@pytest.mark.parametrize("name", ["classifier", "weight_map", "distilled_heads"])
def test_without_a_file_such_a_backbone_is_a_line(name, weights):
    with pytest.raises(UserError, match=f"{name} is read from the file of its training.*--weights"):
        build_backbone(name, weights)


def test_files_that_hold_no_classifier(classifier, tmp_path):
    state, facts = classifier.state_dict(), classifier.file_facts()
    cases = {
        "does not name its trunk and classes": (state, {}),
        "is no classifier of this package": (state, facts | {"outputs": "three"}),
        "classes are no list of names": (state, facts | {"classes": "[1, 2, 3]"}),
        "trunk of a classifier 'resnet19' is unknown": (state, facts | {"trunk": "resnet19"}),
        "is not of a classifier with the trunk resnet18": (state, facts | {"trunk": "resnet18"}),
        r"of another shape \(first: head.weight": (state, facts | {"outputs": "4"}),
        "numbers that are not finite, first: head.bias": (
            state | {"head.bias": torch.tensor([0.0, torch.nan, 0.0])},
            facts,
        ),
    }
    for line, (tensors, metadata) in cases.items():
        path = tmp_path / "bad.safetensors"
        path.write_bytes(safetensors_bytes(tensors, metadata))
        with pytest.raises(UserError, match=line):
            build_backbone("classifier", path)
    embedding = file_of(new_classifier("resnet_mini", "random", 4, seed=0), path)
    with pytest.raises(UserError, match="holds an embedding, whose outputs are no classes"):
        build_backbone("classifier", embedding)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match="does not name its trunk"):
        build_backbone("classifier", tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("cat", "dog"), "data has 2 classes, and the classifier 3; name data"),
        (("cat", "dog", "été", "owl"), r"4 classes, and the classifier 3 .*not know: 'owl'\)"),
        (("cat", "été", "dog"), "data: class 1 is 'été', and the classifier calls it 'dog'"),
    ],
)
def test_data_of_other_classes_is_a_line(classifier, names, line):
    check_classes(classifier.classes, CLASSES, "data")
    with pytest.raises(UserError, match=line):
        check_classes(classifier.classes, names, "data")


def test_for_refinement_only_a_second_trunk_learns(classifier, images):
    network = copy.deepcopy(classifier).for_refinement()
    assert network(images).data.equal(classifier(images).data)
    assert network.stride == classifier.stride and network.first_learner is network.trunk
    network.requires_grad_(True).train()
    assert not any(module.training for module in network.modules())
    learning = {name for name, value in network.named_parameters() if value.requires_grad}
    assert learning == {f"trunk.{name}" for name, _ in network.trunk.named_parameters()}
    network(images).data.mean().backward()
    assert all(p.grad is not None for p in network.trunk.parameters())
    copied = network.frozen_copy()
    assert copied.classifier is network.classifier and copied.trunk is not network.trunk
    network.requires_grad_(False)
    assert not any(p.requires_grad for p in network.parameters())


def test_the_classes_stay_those_of_the_frozen_classifier(classifier, images):
    network = copy.deepcopy(classifier).for_refinement().eval()
    before = network.share(images)
    with torch.no_grad():
        for parameter in network.trunk.parameters():
            parameter.neg_()
    after = network.share(images)
    assert after.equal(before)
    labels = classifier.outputs_of(classifier.trunk(images)).argmax(dim=1)
    assert after[:, 3].equal(labels.float().view(-1, 1, 1).expand(-1, 32, 48))
    assert after[:, :3].equal(images)
    expected = classifier.activation(network.trunk(images), labels)
    assert network(images).data[:, 0].equal(pixel_maps(expected, (32, 48)))


def test_a_refined_file_builds_both_trunks(classifier, images, tmp_path):
    network = copy.deepcopy(classifier).for_refinement().eval()
    with torch.no_grad():
        network.trunk.network.stem.conv1.weight.mul_(-2)
    path = file_of(network, tmp_path / "refined.safetensors")
    again = build_backbone("classifier", path)
    assert isinstance(again, ClassifierMap)
    assert again(images).data.equal(network(images).data)
    assert not again(images).data.equal(classifier(images).data)
    assert again.for_refinement() is again
