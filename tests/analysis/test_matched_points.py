"""Matches of a network whose features are the colours of cells of 4 x 4 pixels."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.analysis import matched_points as module
from boxrefine_d2.analysis.matched_points import match_points, read_points
from boxrefine_d2.analysis.matched_points_figure import draw_matched_points
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.weights import WeightsInfo
from boxrefine_d2.structures import PseudoBoxes
from tests.toy_rules import RuleOf

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (99, 99, 99)
SETTINGS = {
    "ks": [1, 2],
    "backbone": "colours",
    "weights": None,
    "facet": "key",
    "foreground": None,
    "max_side": 800,
    "device": "cpu",
}


@pytest.fixture
def network(colour_network, monkeypatch):
    colour_network.weights_info = WeightsInfo("random:0", "0" * 64)
    monkeypatch.setattr(module, "build_backbone", lambda name, weights: colour_network)
    return colour_network


@pytest.fixture
def images(saved):
    one = saved("one.png", [[RED, GREEN, GREY], [GREY, GREY, BLUE]], scale=4)
    other = saved("other.png", [[GREEN, GREY], [BLUE, GREY], [RED, GREY]], scale=4)
    return [one, other]


def masks(*rows, scale=1):
    """Return a rule with this mask on every image; `scale` makes a grid finer than the cells."""
    mask = np.array(rows, bool).repeat(scale, axis=0).repeat(scale, axis=1)

    def rule(features):
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        return [PseudoBoxes(box, torch.ones(1), (8, 12), torch.from_numpy(mask)[None])]

    return RuleOf(rule)


def test_equal_colours_are_matched_at_any_place(network, images):
    matched = match_points(images, **SETTINGS)
    document = matched.to_json()
    nearest = {tuple(m["a"]): tuple(m["b"]) for m in document["matches"]["1"]}
    assert nearest[2, 2] == (2, 10)  # red
    assert nearest[6, 2] == (2, 2)  # green
    assert nearest[10, 6] == (2, 6)  # blue
    greys = nearest.keys() - {(2, 2), (6, 2), (10, 6)}
    assert greys and all(nearest[grey] in {(6, 2), (6, 6), (6, 10)} for grey in greys)
    assert len(document["matches"]["2"]) > 4
    similarity = [m["similarity"] for m in document["matches"]["2"]]
    assert similarity == sorted(similarity, reverse=True)
    assert document["images"][1] == {
        "file_name": images[1],
        "width": 8,
        "height": 12,
        "points": 6,
    }
    assert document["info"]["foreground"] == "everywhere"
    assert document["info"]["weights"] == {"source": "random:0", "sha256": "0" * 64}


def test_only_the_foreground_is_matched(network, images):
    rule = masks([1, 0, 0], [0, 0, 1])
    points = read_points(images[0], network, "key", rule, 800)
    assert points.centres.tolist() == [[2, 2], [10, 6]]
    assert points.foreground[:4, :4].all() and points.foreground.sum() == 32
    torch.testing.assert_close(points.features, torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))


@pytest.mark.parametrize("scale", [2, 3])
def test_the_centres_of_the_cells_decide_under_a_finer_mask(network, images, scale):
    finer = read_points(images[0], network, "key", masks([1, 0, 0], [0, 0, 1], scale=scale), 800)
    assert finer.centres.tolist() == [[2, 2], [10, 6]]


def test_the_padding_is_never_matched(network, saved):
    """Nine pixels take three cells; the centre of the last cell is outside the image."""
    image = saved("odd.png", np.full((4, 9, 3), 50))
    assert len(read_points(image, network, "key", None, 800).centres) == 2
    assert len(read_points(image, network, "key", masks([0, 1, 1]), 800).centres) == 1


def test_points_are_in_pixels_of_the_original(network, saved):
    image = saved("large.png", [[RED, GREEN]], scale=40)
    points = read_points(image, network, "key", None, 8)
    assert points.centres.tolist() == [[20, 20], [60, 20]]
    assert points.image.shape == (4, 8, 3) and points.image_size == (40, 80)


def test_mistakes_are_named(network, images):
    with pytest.raises(UserError, match="one.png has no foreground; --everywhere"):
        read_points(images[0], network, "key", masks([0, 0, 0], [0, 0, 0]), 800)
    with pytest.raises(UserError, match="no facet 'mask'; it gives key, value"):
        match_points(images, **SETTINGS | {"facet": "mask"})
    with pytest.raises(UserError, match="no such file"):
        match_points([images[0], "/nowhere.png"], **SETTINGS)
    with pytest.raises(UserError, match="discovery method 'lots' is unknown"):
        match_points(images, **SETTINGS | {"foreground": "lots"})


def test_the_figure_has_a_row_for_each_number_of_neighbours(network, images):
    drawn = draw_matched_points(match_points(images, **SETTINGS))
    two = Image.open(io.BytesIO(drawn))
    one = Image.open(
        io.BytesIO(draw_matched_points(match_points(images, **SETTINGS | {"ks": [1]})))
    )
    assert two.size == (one.width, 2 * one.height)
    assert drawn == draw_matched_points(match_points(images, **SETTINGS))
