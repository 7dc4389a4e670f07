import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD, MapNetwork
from boxrefine_d2.structures import FeatureMap


class ColourNetwork(MapNetwork):
    """A network whose key is the mean colour of a cell of 4 x 4 pixels, (3,) in [0, 1].

    The padding has ImageNet's mean colour.
    """

    facets = ("key", "value")
    stride, padding = 4, "zeros"

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))

    def forward(self, images, facet="key", image_sizes=None):
        colours = images * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) + self.shift
        return FeatureMap(F.avg_pool2d(colours, 4), 4, image_sizes, facet)


@pytest.fixture
def colour_network():
    return ColourNetwork()


@pytest.fixture
def saved(tmp_path):
    """A function that saves pixels (H, W, 3), enlarged `scale` times, as a PNG at a new path."""

    def save(name, pixels, scale=1):
        pixels = np.asarray(pixels, np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
        Image.fromarray(pixels).save(tmp_path / name)
        return str(tmp_path / name)

    return save
