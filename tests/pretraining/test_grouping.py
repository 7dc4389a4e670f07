import torch

from boxrefine_d2.losses import IGNORED
from boxrefine_d2.pretraining.grouping import composite, regions_of_cells


def test_a_composite_shows_the_next_images_inside_the_masks():
    views = torch.stack([torch.full((3, 4, 4), float(value)) for value in (10, 20, 30)])
    masks = torch.zeros(3, 2, 4, 4)
    masks[0, 0, :2] = 1.0  # the upper half shows image 1
    masks[0, 1, 1:3] = 1.0  # two rows of image 2 cover a part of it
    masks[2, 0, 0, 0] = 0.25  # a soft border: a quarter of image 0
    composites, sources = composite(views, masks)
    assert composites[0, 0, :, 0].tolist() == [20, 30, 30, 10]
    assert sources[0, :, 0].tolist() == [1, 2, 2, 0]
    assert composites[1].equal(views[1]) and not sources[1].any()
    assert composites[2, 0, 0, :2].tolist() == [25, 30] and not sources[2].any()


def test_a_patch_has_the_source_that_fills_it():
    """Four patches of 2 x 2 pixels: background, background, region, and one with half of each."""
    sources = torch.tensor([[[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]])
    assert regions_of_cells(sources, patch_size=2).tolist() == [[0, 0, 1, IGNORED]]
