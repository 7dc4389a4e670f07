"""Sources of boxes: lists of steps, and what each step does to a map."""

import numpy as np
import pytest
import torch

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.sources import MapBatch, sources_of


def sources(*lists):
    cfg = boxrefine_cfg()
    cfg.LOCALIZATION.SOURCES = [list(words) for words in lists]
    return sources_of(cfg)


def batch(maps, seeds=None):
    maps = torch.as_tensor(maps, dtype=torch.float32)
    images = torch.zeros(len(maps), 3, *maps.shape[1:], dtype=torch.uint8)
    return MapBatch(maps, images, seeds)


def test_a_source_without_steps_takes_the_bright_pixels():
    [source] = sources(["cam"])
    maps, masks = source(batch([[[0.0, 0.05], [0.1, 1.0]]]))
    assert masks[0].tolist() == [[False, False], [True, True]]
    assert maps[0, 1, 1] == 1


def test_bright_takes_a_share_of_its_own():
    [source] = sources(["cam", "bright=0.5"])
    _, masks = source(batch([[[0.0, 0.5], [0.4, 1.0]]]))
    assert masks[0].tolist() == [[False, True], [False, True]]
    assert source.name == "cam_bright=0.5"


def test_above_mean_is_strict():
    [source] = sources(["cam", "above_mean"])
    _, masks = source(batch([[[0.0, 0.5], [0.5, 1.0]]]))
    assert masks[0].tolist() == [[False, False], [False, True]]


def test_orientation_turns_a_map_away_from_the_seed():
    [source] = sources(["tokencut", "orientation", "above_mean"])
    seeds = torch.tensor([[[True, False], [False, False]]])
    _, masks = source(batch([[[0.0, 1.0], [1.0, 1.0]]], seeds))
    assert masks[0].tolist() == [[True, False], [False, False]]
    with pytest.raises(UserError, match="orientation needs the seed"):
        source(batch([[[0.0, 1.0], [1.0, 1.0]]]))


def test_arm_follows_the_edges_of_the_image():
    [source] = sources(["cam", "arm", "bright=0.5"])
    image = torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
    image[..., 12:] = 255
    maps = torch.zeros(1, 24, 24)
    maps[0, :, 10:] = 1.0  # two columns beyond the edge
    _, masks = source(MapBatch(maps, image))
    assert masks[0, :, 12:].all()
    assert not masks[0, :, :12].any()


def test_sgrm_predicts_a_mask_and_falls_back_to_the_mean():
    [source] = sources(["cam", "sgrm"])
    image = torch.full((1, 3, 32, 32), 40, dtype=torch.uint8)
    image[..., 8:24, 8:24] = 220
    maps = torch.zeros(1, 32, 32)
    maps[0, 9:23, 9:23] = 1.0
    _, masks = source(MapBatch(maps, image))
    truth = np.zeros((32, 32), bool)
    truth[8:24, 8:24] = True
    found = masks[0].numpy()
    assert (found & truth).sum() / (found | truth).sum() > 0.8


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["cam", "blur"], "blur is no step; known: on the map arm, orientation; last bright"),
        (["cam", "sgrm", "arm"], "sgrm must be the last step"),
        (["cam", "bright=2"], "bright=2: the share must be a number above 0, at most 1"),
        (["cam", "bright=x"], "bright=x: the share must be a number above 0, at most 1"),
    ],
)
def test_a_list_that_is_no_source_is_a_line(words, line):
    with pytest.raises(UserError, match=line):
        sources(words)


def test_a_source_named_twice_is_a_line():
    with pytest.raises(UserError, match="names cam, arm twice"):
        sources(["cam", "arm"], ["cam", "arm"])
