"""Model of tiny networks, and inputs in the form of Detectron2."""

import pytest
import torch

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.language.localisation_losses import LocalisationLosses
from boxrefine_d2.networks.weights import WeightsInfo

SIDE = 32


@pytest.fixture
def heatmap_network(tiny_heatmap):
    network = tiny_heatmap()
    with torch.no_grad():
        # the last ReLU is positive; otherwise every heatmap would be constant
        network.up1.norm1.bias.fill_(0.5)
    network.weights_info = WeightsInfo("random:0", "")
    return network


@pytest.fixture
def parts(clip, heatmap_network):
    losses = LocalisationLosses(
        relevance_weight=64.0,
        area_weight=1.0,
        foreground_weight=1.0,
        background_weight=2.0,
        similarity="matched",
    )
    return {
        "map_network": heatmap_network,
        "clip": clip,
        "losses": losses,
        "discovery": build_rule("contours"),
        "start_layer": -1,
        "square_size": SIDE,
    }


@pytest.fixture
def training_batch():
    generator = torch.Generator().manual_seed(0)
    phrases = ["image of a dog", "image of a cat", "image of a red bird"]
    return [
        {
            "image": torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8),
            "phrase": phrase,
            "drawn": phrase,
            "phrases": [phrase],
            "input_key": (str(number), False),
        }
        for number, phrase in enumerate(phrases)
    ]


@pytest.fixture
def test_batch(training_batch):
    queries = [[(7, ["a dog"]), (9, ["a cat", "the cat"])], [(7, ["grass"])], []]
    return [
        {
            "image": x["image"],
            "height": 48,
            "width": 64,
            "image_id": number,
            "queries": queries_of_image,
            "decoys": ["a car"] * len(queries_of_image),
        }
        for number, (x, queries_of_image) in enumerate(zip(training_batch, queries, strict=True))
    ]
