"""A CLIP of a few thousand parameters, and the pictures it looks at."""

import pytest
import torch
from transformers import CLIPConfig

from boxrefine_d2.language.build import random_clip


def _tiny_config() -> CLIPConfig:
    """Two layers, a grid of 4 x 4 patches."""
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    }
    return CLIPConfig(
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        text_config={**tower, "max_position_embeddings": 20},
        projection_dim=12,
    )


@pytest.fixture(scope="session")
def tiny_config():
    return _tiny_config


@pytest.fixture(scope="session")
def clip():
    return random_clip(_tiny_config(), seed=0)


@pytest.fixture
def images():
    return torch.rand(3, 3, 40, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
