"""Images for the tests of CLIP."""

import pytest
import torch


@pytest.fixture
def images():
    return torch.rand(3, 3, 40, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
