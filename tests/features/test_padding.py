import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.features import IMAGENET_MEAN, IMAGENET_STD, padded_size
from boxrefine_d2.features.padding import normalise_and_pad


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
