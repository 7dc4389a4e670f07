"""A CLIP and a g of a few thousand parameters, which several rooms look at."""

import pytest

DIM = 12


@pytest.fixture(scope="session")
def tiny_config():
    """Two layers, a grid of 4 x 4 patches of 8 pixels."""
    from transformers import CLIPConfig  # most tests do without it

    def build():
        tower = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
        }
        return CLIPConfig(
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            text_config={**tower, "max_position_embeddings": 40},
            projection_dim=DIM,
        )

    return build


@pytest.fixture(scope="session")
def clip(tiny_config):
    from boxrefine_d2.language.build import random_clip

    return random_clip(tiny_config(), seed=0)


@pytest.fixture(scope="session")
def tiny_heatmap():
    """Builds a g with cells of 8 pixels; the same at each call."""
    from torch import nn

    from boxrefine_d2.features.text_heatmap import TextHeatmap
    from boxrefine_d2.features.weights import build_seeded

    def build():
        encoder = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU())
        return TextHeatmap(encoder, channels=8, text_dim=DIM, stride=8)

    return lambda: build_seeded(build, 0)
