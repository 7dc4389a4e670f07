"""ARM against printed numbers and against a dense computation with all neighbours."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.discovery import affinity_refinement
from boxrefine_d2.discovery.affinity_refinement import (
    min_max,
    pixel_affinities,
    refine_by_affinity,
)
from boxrefine_d2.errors import UserError

DISTANCES = {"literal": [1], "afa": [1, 2, 4, 8, 12, 24]}
SCALES = {"literal": 1.0, "afa": 0.3}

# the specification's example: after one step, and after two steps scaled to [0, 1]
ONE_STEP = {
    "literal": [
        [-0.465243, -0.367814, 0.075140],
        [-0.359075, -0.315995, 0.252089],
        [-0.347727, -0.279125, 0.460236],
    ],
    "close": [
        [-0.503825, -0.354150, 0.079775],
        [-0.349600, -0.312599, 0.257350],
        [-0.348864, -0.291414, 0.467150],
    ],
    "afa": [
        [-0.489411, -0.328193, 0.109486],
        [-0.439887, -0.311567, 0.256522],
        [-0.455074, -0.307733, 0.315441],
    ],
}
TWO_STEPS = {
    "literal": [
        [0, 0.067385, 0.700484],
        [0.108474, 0.112868, 0.851732],
        [0.130401, 0.153155, 1],
    ],
    "close": [
        [0, 0.137556, 0.722847],
        [0.182605, 0.170808, 0.862879],
        [0.189036, 0.199444, 1],
    ],
    "afa": [
        [0, 0.120607, 0.903043],
        [0.042826, 0.123038, 0.964859],
        [0.039816, 0.120026, 1],
    ],
}


def example():
    """Return the map and the image of the specification, (1, 3, 3) and (1, 3, 3, 3)."""
    image = torch.zeros(1, 3, 3, 3)
    image[0, :, :, 2] = 1
    image[0, 0, 0, 0] = 0.2
    image[0, 1, 1, 1] = 0.1
    return torch.tensor([[[0, 0.2, 0.4], [0.1, 0.3, 0.9], [0, 0.5, 1]]]), image


@pytest.mark.parametrize("variant", ONE_STEP)
def test_the_printed_example(variant, monkeypatch):
    """Check the variants of the module, and distance 1 with the scale of AFA ("close")."""
    monkeypatch.setitem(affinity_refinement.VARIANTS, "close", ((1,), 0.3))
    maps, image = example()
    affinities = pixel_affinities(image, variant=variant, position_weight=0.01)
    after = affinities.spread(maps - 0.5, keep=0.1)
    torch.testing.assert_close(after[0], torch.tensor(ONE_STEP[variant]), rtol=0, atol=1e-6)
    refined = refine_by_affinity(maps, image, variant=variant, steps=2)
    torch.testing.assert_close(refined[0], torch.tensor(TWO_STEPS[variant]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", DISTANCES)
def test_weights_sum_to_one_and_the_weight_of_the_position(variant):
    image = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    affinities = pixel_affinities(image, variant=variant, position_weight=0.01)
    sums = affinities.weights.sum(dim=0)
    torch.testing.assert_close(sums, torch.full_like(sums, 1.01))
    grown = affinities.spread(torch.ones(2, 6, 9), keep=0.1)
    torch.testing.assert_close(grown, torch.full_like(grown, 1.009))


def dense_refinement(maps, images, variant, steps, keep, position_weight):
    """Return the refined maps, from all neighbours of all pixels in one tensor, in float64."""
    maps, images = maps.double(), images.double()
    places = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]

    def unfolded(values):
        parts = []
        for distance in DISTANCES[variant]:
            padded = F.pad(values, (distance,) * 4, mode="replicate")
            patches = F.unfold(padded, 3, dilation=distance)
            patches = patches.view(*values.shape[:2], 9, *values.shape[2:])
            parts.append(patches[:, :, [3 * i + j for i, j in places]])
        return torch.cat(parts, dim=2)

    around = unfolded(images)
    spread = around.std(dim=2, keepdim=True)
    colour = -(((around - images[:, :, None]) / (spread + 1e-8) / SCALES[variant]) ** 2).mean(dim=1)
    lengths = torch.tensor(
        [d * ((i - 1) ** 2 + (j - 1) ** 2) ** 0.5 for d in DISTANCES[variant] for i, j in places],
        dtype=torch.float64,
    )
    position = -((lengths / (lengths.std() + 1e-8) / SCALES[variant]) ** 2)
    kernel = colour.softmax(dim=1) + position_weight * position.softmax(0)[None, :, None, None]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    maps = (maps - low) / (high - low) - 0.5
    for _ in range(steps):
        maps = keep * maps + (1 - keep) * (kernel * unfolded(maps[:, None])[:, 0]).sum(dim=1)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


@pytest.mark.parametrize("size", [(40, 31), (17, 64)])
@pytest.mark.parametrize("variant", DISTANCES)
def test_maps_equal_those_of_a_dense_computation(variant, size):
    """Check a batch with flat regions, where the deviation among the neighbours is 0."""
    generator = torch.Generator().manual_seed(1)
    images = (torch.rand(3, 3, *size, generator=generator) * 8).floor() / 8
    images[0, :, :20] = 0.25
    images[1] = 0.5
    maps = 7 * torch.rand(3, *size, generator=generator) - 3
    options = {"variant": variant, "steps": 8, "keep": 0.2, "position_weight": 0.05}
    expected = dense_refinement(maps, images, **options)
    refined = refine_by_affinity(maps, images, **options)
    torch.testing.assert_close(refined.double(), expected, rtol=0, atol=2e-5)
    assert refined.amin(dim=(1, 2)).tolist() == [0] * 3
    assert refined.amax(dim=(1, 2)).tolist() == [1] * 3
    single = refine_by_affinity(maps[1:2], images[1:2], **options)
    assert torch.equal(single[0], refined[1])


def test_a_value_stays_inside_its_colour():
    """Check a map of two values that a border between two colours has to move."""
    image = torch.zeros(1, 3, 24, 24)
    image[:, :, :, 12:] = 1
    maps = torch.zeros(1, 24, 24)
    maps[:, :, 14:] = 1  # two pixels away from the border
    refined = refine_by_affinity(maps, image, steps=50)
    assert refined[0, :, 12:].amin() > 0.9
    assert refined[0, :, :12].amax() < 0.1


def test_without_steps_a_map_is_only_scaled_and_a_constant_one_is_zero():
    maps, image = example()
    maps = torch.cat([maps, torch.full_like(maps, 0.3)])
    images = image.expand(2, -1, -1, -1)
    assert torch.equal(refine_by_affinity(maps, images, steps=0), min_max(maps - 0.5))
    assert not refine_by_affinity(maps, images, steps=3)[1].any()
    assert maps[0].tolist() == example()[0][0].tolist()  # the argument is unchanged


def test_an_unknown_variant_is_named():
    with pytest.raises(UserError, match="ARM: variant .*'dense'.*literal, afa"):
        refine_by_affinity(*example(), variant="dense")
