import numpy as np
import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD, padded_size
from boxrefine_d2.networks.padding import normalise_and_pad


def test_sides_are_rounded_up():
    assert padded_size((90, 128), 16) == (96, 128)
    assert padded_size((1, 17), 8) == (8, 24)


def test_padding_comes_after_normalisation_and_only_below_and_right():
    images = [torch.full((3, 10, 16), 255.0), torch.full((3, 16, 9), 0.0)]
    batch = normalise_and_pad(images, 16)
    assert batch.shape == (2, 3, 16, 16)
    white = (1 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    assert_close(batch[0, :, :10], white.view(3, 1, 1).expand(3, 10, 16))
    assert batch[0, :, 10:].count_nonzero() == 0
    assert batch[1, :, :, 9:].count_nonzero() == 0
    assert batch[1, :, :, :9].count_nonzero() == 3 * 16 * 9


def test_different_padded_sizes_do_not_share_a_batch():
    with pytest.raises(ValueError, match="different padded sizes"):
        normalise_and_pad([torch.zeros(3, 10, 16), torch.zeros(3, 20, 16)], 16)


@pytest.mark.parametrize("size", [(45, 70), (48, 72), (90, 33), (3, 5), (1, 2), (1, 1)])
@pytest.mark.parametrize("multiple", [8, 16])
def test_reflect_padding_mirrors_as_numpy_does_however_small_the_image(size, multiple):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, *size, generator=generator) * 255
    batch = normalise_and_pad([image, 255 - image], multiple, "reflect")
    height, width = padded_size(size, multiple)
    pad = ((0, 0), (0, height - size[0]), (0, width - size[1]))
    normalised = normalise_and_pad([image, 255 - image], 1)
    for padded, plain in zip(batch, normalised, strict=True):
        assert np.array_equal(padded.numpy(), np.pad(plain.numpy(), pad, mode="reflect"))


def test_an_unknown_padding_is_named():
    with pytest.raises(ValueError, match="unknown padding 'edge'; known: zeros, reflect"):
        normalise_and_pad([torch.zeros(3, 4, 4)], 8, "edge")
