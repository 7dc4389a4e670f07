import numpy as np
import pytest
import torch

from boxrefine_d2.discovery.superpixels import (
    felzenszwalb_superpixels,
    superpixel_means,
    superpixel_votes,
)

PAPER = {"scale": 32, "sigma": 0.5, "min_size": 64}


def test_superpixels_follow_the_borders_of_colours():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, 30:] = (200, 40, 0)
    image[10:30, 40:50] = (0, 40, 200)
    superpixels = felzenszwalb_superpixels(image, **PAPER)
    assert superpixels.dtype == np.int64
    assert sorted(np.unique(superpixels)) == [0, 1, 2]
    parts = [np.unique(superpixels[mask]) for mask in parts_of(image)]
    assert sorted(int(part) for [part] in parts) == [0, 1, 2]


def parts_of(image):
    colours = np.unique(image.reshape(-1, 3), axis=0)
    return [(image == colour).all(axis=2) for colour in colours]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 5), (40, 3)])
def test_a_small_or_plain_image_is_one_superpixel(size):
    image = np.full((*size, 3), 90, dtype=np.uint8)
    assert (felzenszwalb_superpixels(image, **PAPER) == 0).all()


def test_an_image_of_another_type_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        felzenszwalb_superpixels(np.zeros((4, 4, 3)), **PAPER)


def test_means_and_votes_of_a_batch_are_those_of_each_image():
    generator = torch.Generator().manual_seed(0)
    superpixels = torch.randint(0, 5, (3, 8, 9), generator=generator)
    superpixels[1] = 0  # one superpixel
    superpixels[2, superpixels[2] == 3] = 4  # a number without a pixel
    maps = torch.rand(3, 8, 9, generator=generator)
    predicted = maps > 0.5
    means, votes = superpixel_means(maps, superpixels), superpixel_votes(predicted, superpixels)
    for i in range(3):
        for number in superpixels[i].unique():
            inside = superpixels[i] == number
            assert torch.allclose(means[i][inside], maps[i][inside].double().mean())
            most = predicted[i][inside].sum() * 2 > inside.sum()
            assert (votes[i][inside] == most).all()
