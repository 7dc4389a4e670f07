import numpy as np
import pytest
import torch
from published_cuts import tokencut_mask

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery.tokencut import bipartition, first_largest
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .test_lost import golden_map, planted_square
from .test_normalized_cut import clustered_tokens


def test_golden_eigenvector_mask_and_box():
    """Check the appendix of the specification, whose values the official functions gave."""
    rule = build_rule("tokencut")
    sides = bipartition(rule.cut(golden_map()).eigenvector, 1e-6)
    assert sides.eigenvector.mean().item() == pytest.approx(0.00595, abs=5e-6)
    row = (sides.eigenvector[0, :8] * 1e4).round().tolist()
    assert row == [-142, -15, 228, 550, -176, -205, -225, -231]
    assert int(sides.foreground.sum()) == 18
    (found,) = rule(golden_map())
    assert found.boxes.tolist() == [[32, 0, 125, 90]]
    assert found.masks.sum() == 18


@pytest.mark.parametrize("seed", range(10))
def test_mask_equals_the_dense_solution(seed):
    tokens = clustered_tokens(patches=9 * 10, seed=seed)
    features = FeatureMap.from_tokens(tokens[None], (9, 10), 16, [(144, 160)], "key")
    (found,) = discover("tokencut", features)
    assert np.array_equal(found.masks[0].numpy(), tokencut_mask(tokens.numpy(), (9, 10)))


@pytest.mark.parametrize("grid", [(7, 12), (12, 7), (9, 9)])
@pytest.mark.parametrize("box", [(1, 2, 4, 5), (4, 1, 7, 6)])
def test_planted_square_is_found_exactly(grid, box):
    (found,) = discover("tokencut", planted_square(grid, box))
    assert found.boxes.tolist() == [[16 * x for x in box]]
    assert found.masks[0].sum() == (box[2] - box[0]) * (box[3] - box[1])
    assert 0.99 < found.scores[0] <= 1  # the sides are not connected


def test_the_sign_of_the_eigenvector_plays_no_part():
    vector = build_rule("tokencut").cut(golden_map()).eigenvector
    one, other = bipartition(vector, 1e-6), bipartition(-vector, 1e-6)
    assert torch.equal(one.foreground, other.foreground)
    assert torch.equal(one.eigenvector, other.eigenvector)
    assert one.foreground.gather(1, one.seed[:, None]).all()


def test_of_values_that_differ_by_rounding_the_first_is_the_seed():
    values = torch.tensor([[0.1, 1.0 - 1e-9, 0.5, 1.0]], dtype=torch.float64)
    assert first_largest(values, 1e-6).tolist() == [1]
    assert first_largest(values, 0.0).tolist() == [3]


def test_further_components_come_on_request_the_largest_first():
    features = planted_square((10, 12), (1, 1, 4, 5))
    cell = features.data[:, :, 1:2, 1:2].clone()  # all are equal; the first one is the seed
    features.data[:, :, 1:5, 1:4] = cell
    features.data[:, :, 6:9, 6:11] = cell  # 15 cells
    features.data[:, :, 9:, 0:1] = cell  # 1 cell of 120
    (one,) = discover("tokencut", features)
    assert len(one) == 1
    (found,) = discover("tokencut", features, max_objects=5)
    assert found.boxes.tolist() == [[16, 16, 64, 80], [96, 96, 176, 144]]
    (all_of_them,) = discover("tokencut", features, max_objects=5, min_area=0.001)
    assert all_of_them.boxes[2].tolist() == [0, 144, 16, 160]
    assert all_of_them.scores[0] > all_of_them.scores[1] > all_of_them.scores[2]
    assert len(discover("tokencut", features, max_objects=2, min_area=0.001)[0]) == 2


def test_a_batch_gives_what_each_image_gives():
    maps = [
        planted_square((8, 8), box, seed=i) for i, box in enumerate([(1, 1, 3, 4), (4, 2, 8, 6)])
    ]
    batch = FeatureMap(torch.cat([m.data for m in maps]), 16, [(128, 128), (120, 125)], "key")
    together = discover("tokencut", batch)
    assert torch.equal(together[0].boxes, discover("tokencut", maps[0])[0].boxes)
    assert together[1].boxes.tolist() == [[64, 32, 125, 96]]  # clipped to its own size


def test_heatmap_is_high_on_the_object_and_has_a_gradient():
    features = planted_square((8, 10), (2, 3, 5, 6))
    features.data.requires_grad_()
    heatmap = build_rule("tokencut").heatmap(features)
    inside = torch.zeros(8, 10, dtype=torch.bool)
    inside[3:6, 2:5] = True
    assert heatmap.shape == (1, 8, 10)
    assert heatmap[0][inside].min() > 0.5 > heatmap[0][~inside].max()
    heatmap[0][inside].sum().backward()
    assert features.data.grad.abs().sum() > 0


def test_one_patch_is_the_whole_image():
    features = FeatureMap(torch.ones(1, 3, 1, 1), 16, [(9, 13)], "key")
    assert discover("tokencut", features)[0].boxes.tolist() == [[0, 0, 13, 9]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"eps": 0.0}, "eps is 0.0"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"k": 1}, "no parameter"),
    ],
)
def test_mistakes_are_named(parameters, message):
    with pytest.raises(UserError, match=message):
        build_rule("tokencut", **parameters)
