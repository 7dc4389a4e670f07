import math

import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover, rule_parameters
from boxrefine_d2.discovery.lost import lost_maps
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

GRID, IMAGE = (6, 8), (90, 125)


def golden_map() -> FeatureMap:
    """Return a wave over cells and channels with two planted objects.

    The official functions gave the expected values.
    """
    h, w = GRID
    tokens = torch.zeros(h * w, 8, dtype=torch.float64)
    for p in range(h * w):
        row, column = divmod(p, w)
        planted = (1 <= row <= 3 and 2 <= column <= 5) or (row, column) == (5, 7)
        for j in range(8):
            sign = 1 if j % 2 == 0 else -1
            tokens[p, j] = (
                0.5 * math.sin(0.7 * (p + 1) * (j + 1)) + (0.4 if planted else -0.16) * sign
            )
    return FeatureMap.from_tokens(tokens.float()[None], GRID, 16, [IMAGE], "key")


def tied_map() -> FeatureMap:
    """Return integer features with equal degrees; some of their products are exactly zero."""
    h, w = GRID
    tokens = torch.zeros(h * w, 3)
    for p in range(h * w):
        row, column = divmod(p, w)
        planted = (1 <= row <= 3 and 2 <= column <= 5) or (row, column) in ((4, 6), (5, 7))
        tokens[p] = torch.tensor((2.0, 1, 0) if planted else (-1.0, 1 + (row + column) % 2, 1))
    return FeatureMap.from_tokens(tokens[None], GRID, 16, [IMAGE], "key")


def planted_square(grid, box_cell, stride=16, channels=6, seed=0) -> FeatureMap:
    """Return features of one direction inside the box and the opposite direction outside.

    Their noise changes no sign.
    """
    h, w = grid
    x1, y1, x2, y2 = box_cell
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(channels, generator=generator), dim=0)
    data = -direction.view(1, -1, 1, 1).repeat(1, 1, h, w)
    data[:, :, y1:y2, x1:x2] = direction.view(1, -1, 1, 1)
    data += 0.02 * torch.randn(data.shape, generator=generator)
    return FeatureMap(data, stride, [(h * stride, w * stride)], "key")


def test_golden_degrees_seed_and_order():
    maps = lost_maps(golden_map().tokens(), 100)
    assert maps.degree[0, :8].tolist() == [26, 29, 29, 14, 31, 29, 28, 27]
    assert maps.seed.tolist() == [3]
    order = maps.degree[0].argsort(stable=True)
    assert order[1:8].tolist() == [12, 21, 26, 30, 39, 11, 20]
    assert int((maps.summed > 0).sum()) == 16


@pytest.mark.parametrize(("k_patches", "box"), [(100, [32, 0, 112, 64]), (10, [32, 0, 125, 90])])
def test_golden_boxes(k_patches, box):
    (found,) = discover("lost", golden_map(), k_patches=k_patches)
    assert found.boxes.tolist() == [box]
    assert found.input_size == IMAGE


def test_ties_go_to_the_lowest_cell_and_zero_is_no_edge():
    features = tied_map()
    maps = lost_maps(features.tokens(), 100)
    assert set(maps.degree[0].tolist()) == {13, 33}
    assert maps.seed.tolist() == [10]
    assert discover("lost", features)[0].boxes.tolist() == [[32, 16, 96, 64]]


@pytest.mark.parametrize("grid", [(7, 12), (12, 7), (9, 9)])
@pytest.mark.parametrize("box", [(1, 2, 4, 5), (4, 1, 7, 6)])
def test_planted_square_is_found_exactly(grid, box):
    (found,) = discover("lost", planted_square(grid, box))
    assert found.boxes.tolist() == [[16 * x for x in box]]
    expected = torch.zeros(grid, dtype=torch.bool)
    expected[box[1] : box[3], box[0] : box[2]] = True
    assert found.masks is not None
    assert torch.equal(found.masks[0], expected)


def test_box_follows_a_flip():
    features = planted_square((8, 11), (1, 2, 4, 5))
    mirrored = FeatureMap(features.data.flip(3), 16, features.image_sizes, "key")
    assert discover("lost", mirrored)[0].boxes.tolist() == [[16 * x for x in (7, 2, 10, 5)]]


def test_a_batch_gives_what_each_image_gives():
    maps = [
        planted_square((8, 8), box, seed=i) for i, box in enumerate([(1, 1, 3, 4), (4, 2, 8, 6)])
    ]
    batch = FeatureMap(torch.cat([m.data for m in maps]), 16, [(128, 128), (120, 125)], "key")
    alone = [discover("lost", m)[0].boxes for m in maps]
    together = discover("lost", batch)
    assert torch.equal(together[0].boxes, alone[0])
    assert together[1].boxes.tolist() == [[64, 32, 125, 96]]  # clipped to its own size


def test_component_excludes_what_touches_by_a_corner_only():
    features = planted_square((6, 6), (1, 1, 3, 3))
    features.data[:, :, 3, 3] = features.data[:, :, 1, 1]
    assert discover("lost", features)[0].boxes.tolist() == [[16, 16, 48, 48]]


def test_corners_lie_on_the_grid_or_on_the_border():
    generator = torch.Generator().manual_seed(3)
    features = FeatureMap(torch.randn(20, 5, 6, 9, generator=generator), 16, [(90, 131)] * 20)
    for found in discover("lost", features, k_patches=9):
        x1, y1, x2, y2 = found.boxes[0].tolist()
        assert x1 % 16 == 0 and y1 % 16 == 0
        assert x2 % 16 == 0 or x2 == 131
        assert y2 % 16 == 0 or y2 == 90
        assert 0 <= x1 < x2 and 0 <= y1 < y2


def test_a_map_of_zeros_gives_one_cell():
    features = FeatureMap(torch.zeros(1, 4, 3, 3), 16, [(48, 48)])
    assert discover("lost", features)[0].boxes.tolist() == [[0, 0, 16, 16]]


def test_one_cell_is_its_own_box():
    features = FeatureMap(torch.ones(1, 4, 1, 1), 16, [(5, 9)])
    assert discover("lost", features)[0].boxes.tolist() == [[0, 0, 9, 5]]


def test_centre_finds_an_object_that_a_common_direction_hides():
    features = planted_square((8, 8), (2, 2, 5, 6))
    hidden = FeatureMap(features.data + 10, 16, features.image_sizes, "key")
    assert discover("lost", hidden)[0].boxes.tolist() == [[0, 0, 128, 128]]
    assert discover("lost", hidden, centre=True)[0].boxes.tolist() == [[32, 32, 80, 96]]


def test_further_components_on_demand():
    features = planted_square((10, 12), (1, 1, 4, 5))
    cell = features.data[:, :, 1:2, 1:2].clone()  # all are equal; the first one is the seed
    features.data[:, :, 1:5, 1:4] = cell
    features.data[:, :, 6:9, 6:11] = cell  # 15 cells
    features.data[:, :, 9:, 0:1] = cell  # 1 cell of 120
    assert len(discover("lost", features)[0]) == 1
    (found,) = discover("lost", features, max_objects=5)
    assert found.boxes.tolist() == [[16, 16, 64, 80], [96, 96, 176, 144]]
    assert found.scores[0] > found.scores[1]
    (all_of_them,) = discover("lost", features, max_objects=5, min_area=0.001)
    assert all_of_them.boxes[2].tolist() == [0, 144, 16, 160]


def test_score_is_the_share_of_cells_unlike_the_seed():
    # 9 of 81 cells are the object: its seed has 8 similar cells of 80 others
    (found,) = discover("lost", planted_square((9, 9), (0, 0, 3, 3)))
    assert found.scores.tolist() == pytest.approx([1 - 8 / 80])


def test_mistakes_are_named():
    features = golden_map()
    with pytest.raises(
        UserError, match="'losst' is unknown; known: absorption, contours, dino_seg, "
    ):
        discover("losst", features)
    with pytest.raises(UserError, match="no parameter 'k'; known: k_patches, centre"):
        discover("lost", features, k=3)
    with pytest.raises(UserError, match="k_patches is 0"):
        discover("lost", features, k_patches=0)
    with pytest.raises(UserError, match="k_patches is 'ten': must be a whole number"):
        discover("lost", features, k_patches="ten")


def test_defaults_come_from_the_paper_profile():
    published = {"k_patches": 100, "centre": False, "max_objects": 1}
    assert rule_parameters("lost") == published | {"min_area": 0.01}


def test_heatmap_is_above_a_half_exactly_on_the_foreground():
    features = planted_square((8, 11), (1, 2, 4, 5))
    heatmap = build_rule("lost").heatmap(features)
    assert torch.equal(heatmap[0] > 0.5, discover("lost", features)[0].masks[0])
    assert 0 <= float(heatmap.min()) < float(heatmap.max()) <= 1


def test_heatmap_has_a_gradient():
    features = planted_square((4, 5), (1, 1, 3, 3))
    features.data.requires_grad_()
    build_rule("lost").heatmap(features)[0, 0, 0].backward()
    assert features.data.grad.abs().sum() > 0


def test_inverse_degree_orders_cells_as_the_counts_do_and_has_a_gradient():
    features = planted_square((8, 11), (1, 2, 4, 5))
    features.data.requires_grad_()
    rule = build_rule("lost")
    soft = rule.inverse_degree(features)
    values = soft.detach()
    assert 0 <= float(values.min()) < float(values.max()) <= 1
    inside = torch.zeros(8, 11, dtype=torch.bool)
    inside[discover("lost", features)[0].masks[0]] = True
    assert values[0][inside].min() > values[0][~inside].max()  # fewer cells are like the square's
    soft[0, 0, 0].backward()
    assert (features.data.grad != 0).any(dim=1).all()  # every cell counts
