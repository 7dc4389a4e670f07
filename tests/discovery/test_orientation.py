import torch

from boxrefine_d2.discovery.orientation import oriented


def test_the_printed_example_keeps_its_side():
    """Check R_h = 2/4 and R_l = 0 of the specification, and the reverse of the same map."""
    maps = torch.tensor([[[0, 0.2, 0.4], [0.1, 0.3, 0.9], [0, 0.5, 1]]])
    seeds = torch.zeros(1, 3, 3, dtype=torch.bool)
    seeds[0, 1, 2] = seeds[0, 2, 2] = True
    both = oriented(torch.cat([maps, 1 - maps]), seeds.expand(2, -1, -1))
    torch.testing.assert_close(both, maps.expand(2, -1, -1))


def test_shares_decide_and_not_counts():
    """Check two seeds among six pixels of the lower side against one of the three above."""
    maps = torch.tensor([[[1, 1, 1], [0, 0, 0], [0, 0, 0.0]]])
    seeds = torch.zeros(1, 3, 3, dtype=torch.bool)
    seeds[0, 0, 0] = seeds[0, 1, 0] = seeds[0, 2, 0] = True
    assert torch.equal(oriented(maps, seeds), maps)  # equal shares
    seeds[0, 2, 1] = True
    assert torch.equal(oriented(maps, seeds), 1 - maps)


def test_a_constant_map_and_no_seed_change_nothing():
    maps = torch.full((1, 2, 2), 0.25)
    none = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert torch.equal(oriented(maps, none), maps)
    assert torch.equal(oriented(maps, ~none), 1 - maps)  # all pixels are on the lower side
