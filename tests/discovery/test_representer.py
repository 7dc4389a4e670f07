import pytest
import torch

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap


def feature_map(data, image=None):
    h, w = data.shape[2:]
    return FeatureMap(data, 16, [image or (16 * h, 16 * w)] * len(data), "key")


def random_features(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, 4, 6, generator=generator) + 0.7


def observed(*batches, **parameters):
    rule = build_rule("representer", **parameters)
    for data in batches:
        rule.observe(feature_map(data))
    return rule


def test_the_identities_of_the_supplement():
    data = random_features()
    rule = observed(data[:1], data[1:])
    features = data.flatten(2).transpose(1, 2).reshape(-1, 5).double()
    norms = features.norm(dim=1)
    v, u = features.sum(dim=0), (features / norms[:, None]).sum(dim=0)
    tau = v.norm() / u.norm()
    assert rule.threshold_norm == pytest.approx(tau.item(), rel=1e-12)
    # w is the sum of importances times directions, and orthogonal to v + tau u
    explicit = ((norms - tau)[:, None] * features / norms[:, None]).sum(dim=0)
    torch.testing.assert_close(rule.predictor, explicit, rtol=1e-10, atol=1e-10)
    assert abs(rule.predictor @ (v + tau * u)) < 1e-9 * v.norm() ** 2
    # tau is the root of the mean product of norms, each pair weighted by its cosine
    unit = features / norms[:, None]
    weighted = (features @ features.T).sum() / (unit @ unit.T).sum()
    assert rule.threshold_norm**2 == pytest.approx(weighted.item(), rel=1e-9)


def test_scaling_all_features_scales_tau_and_the_predictor():
    data = random_features()
    one, three = observed(data), observed(3 * data)
    assert three.threshold_norm == pytest.approx(3 * one.threshold_norm, rel=1e-6)
    torch.testing.assert_close(three.predictor, 3 * one.predictor, rtol=1e-5, atol=1e-5)


def test_features_of_one_length_tell_nothing():
    data = torch.nn.functional.normalize(random_features(), dim=1)
    with pytest.raises(UserError, match="all features are equally long"):
        _ = observed(data).predictor


def test_nothing_observed_is_named():
    with pytest.raises(UserError, match="no image was observed"):
        build_rule("representer")(feature_map(random_features()))


def planted(boxes, grid=(7, 9)):
    """Return short background features, and long object features of another direction."""
    h, w = grid
    data = torch.zeros(len(boxes), 3, h, w)
    data[:, 0] = 1.0
    for one, (x1, y1, x2, y2) in zip(data, boxes, strict=True):
        one[:, y1:y2, x1:x2] = torch.tensor([1.0, 4.0, 0.0])[:, None, None]
    return data


@pytest.mark.parametrize("upsample", [False, True])
def test_planted_objects_are_found(upsample):
    boxes = [(1, 2, 4, 5), (5, 0, 9, 3)]
    data = planted(boxes)
    rule = observed(data, upsample=upsample)
    found = rule(feature_map(data, image=(110, 141)))
    for one, (x1, y1, x2, y2) in zip(found, boxes, strict=True):
        expected = [16 * x1, 16 * y1, min(16 * x2, 141), min(16 * y2, 110)]
        # bilinear interpolation crosses a half on the border between two cells
        assert one.boxes[0].tolist() == pytest.approx(expected, abs=1 if upsample else 0)
    assert found[0].boxes[0, 0] != found[1].boxes[0, 0]
    assert found[0].scores[0] > 0.8


def test_a_constant_map_has_no_box():
    rule = observed(planted([(1, 2, 4, 5)]))
    (found,) = rule(feature_map(torch.ones(1, 3, 4, 4)))
    assert len(found) == 0


def test_heatmap_is_differentiable_and_in_range():
    data = planted([(1, 2, 4, 5)])
    rule = observed(data)
    data.requires_grad_()
    heatmap = rule.heatmap(feature_map(data))
    assert heatmap.amin() == 0 and heatmap.amax() == 1
    heatmap[0, 3, 2].backward()
    assert data.grad.abs().sum() >= 0


def example(**parameters):
    """Return the rule after it observed the three features of the specification."""
    return observed(torch.tensor([[3.0, 0, 2], [4, 1, 0]]).view(1, 2, 1, 3), **parameters)


TESTED = torch.tensor([[1, 2, 0.5], [1, 0.1, 3]]).view(1, 2, 1, 3)


def test_the_printed_statistics():
    rule = example()
    assert rule.threshold_norm == pytest.approx(2.936101, abs=1e-6)
    assert rule.predictor.tolist() == pytest.approx([0.302238, -0.284982], abs=1e-6)
    unit = (rule.predictor / rule.predictor.norm()).tolist()
    assert unit == pytest.approx([0.727572, -0.686031], abs=1e-6)
    mean = example(importance="mean_norm")
    assert mean.threshold_norm == pytest.approx(2.666667, abs=1e-6)
    assert mean.predictor.tolist() == pytest.approx([0.733333, 0.2], abs=1e-6)


def test_the_printed_maps():
    features = feature_map(TESTED)
    rule = example(normalise_features=True)
    activation = rule._activation(features).flatten().tolist()
    assert activation == pytest.approx([0.029374, 0.692405, -0.557085], abs=1e-6)
    release = example(normalise_features=True, clamp=True)
    heatmap = release.heatmap(features).flatten().tolist()
    assert heatmap == pytest.approx([0.042423, 1, 0], abs=1e-6)
    other = example(normalise_features=True, importance="mean_norm")._activation(features)
    assert other.flatten().tolist() == pytest.approx([0.868243, 0.976700, 0.418144], abs=1e-6)
    norms = example(importance="norm_only")._activation(features).flatten().tolist()
    assert norms == pytest.approx([2**0.5, 4.01**0.5, 9.25**0.5])


def test_scaling_before_resizing_keeps_the_values_of_the_cells():
    """Check a map whose brightest cell loses its value in the middle of no pixel."""
    data = planted([(1, 2, 2, 3)])
    rule = observed(data, minmax_before_upsampling=True, align_corners=True, threshold=0.99)
    [found] = rule(feature_map(data))
    assert found.masks[0].sum() == 1  # the only pixel near the cell's value 1
    [usual] = observed(data, threshold=0.99)(feature_map(data))
    assert usual.masks[0].sum() > 1


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_share_of_the_images_gives_the_statistics(batch):
    data = random_features(count=10)
    rule = observed(*data.split(batch), sampling_ratio=0.3)
    expected = observed(data[[3, 6, 9]])
    torch.testing.assert_close(rule.predictor, expected.predictor)
    assert rule.state["points"] == 3 * 24
    with pytest.raises(UserError, match="a sampling_ratio that takes an image"):
        _ = observed(data[:3], sampling_ratio=0.01).predictor
    with pytest.raises(UserError, match="sampling_ratio"):
        build_rule("representer", sampling_ratio=0)


def test_the_printed_representer_values():
    rule = example()
    data = torch.tensor([[3.0, 0, 2], [4, 1, 0]]).view(1, 2, 1, 3)
    values = rule.point_values(feature_map(data), torch.tensor([1.0, 1.0]))
    importances = [2.063899, -1.936101, -0.936101]
    assert values.importance[0].tolist() == pytest.approx(importances, abs=1e-6)
    assert values.value[0].tolist() == pytest.approx([2.043156, -1.369030, -0.661923], abs=1e-6)
    assert values.value.sum().item() == pytest.approx(0.012202, abs=1e-6)


@pytest.mark.parametrize("importance", ["ratio", "mean_norm"])
@pytest.mark.parametrize("rectify", [False, True])
def test_representer_values_sum_to_the_activation(importance, rectify):
    data = random_features(seed=3)
    rule = observed(data[:2], data[2:], importance=importance, rectify=rectify)
    tested = torch.randn(5, generator=torch.Generator().manual_seed(4))
    values = rule.point_values(feature_map(data), tested)
    expected = rule.predictor @ (tested / tested.norm()).double()
    assert values.value.sum().item() == pytest.approx(expected.item(), rel=1e-6)
    assert values.similarity.abs().max() <= 1 + 1e-12
    first = data[0, :, 0, 0].double()
    first = first.clamp(min=0) if rectify else first
    own = (first / first.norm() @ (tested / tested.norm()).double()).item()
    assert values.similarity[0, 0].item() == pytest.approx(own, rel=1e-6)


def test_the_norm_alone_has_no_representer_values():
    rule = example(importance="norm_only")
    with pytest.raises(UserError, match="norm_only reads no other point"):
        rule.point_values(feature_map(TESTED), torch.ones(2))


def test_rectified_features_are_those_of_a_relu():
    data = random_features()
    features = feature_map(data)
    one, other = observed(data, rectify=True), observed(data.relu())
    torch.testing.assert_close(one.predictor, other.predictor)
    torch.testing.assert_close(one.heatmap(features), other.heatmap(feature_map(data.relu())))


def test_the_map_of_pixels_is_zero_in_the_padding_and_scaled_in_the_image():
    data = random_features()
    for parameters in ({}, {"minmax_before_upsampling": True, "align_corners": True}):
        rule = observed(data, **parameters)
        maps = rule.pixel_maps(feature_map(data, image=(60, 90)))
        assert maps.shape == (3, 64, 96)
        assert maps[:, 60:].max() == maps[..., 90:].max() == 0
        assert maps[:, :60, :90].amin() >= 0 and maps[:, :60, :90].amax() <= 1
