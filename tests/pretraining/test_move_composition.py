"""Synthetic images of MOVE: pixels by hand."""

import torch
from torch.testing import assert_close

from boxrefine_d2.pretraining.mae import Inpainter
from boxrefine_d2.pretraining.move_composition import (
    Layers,
    inpainted_region,
    kept_patches,
    layers_of,
    random_shifts,
    shifted,
)


def tiny_inpainter() -> Inpainter:
    torch.manual_seed(0)
    sizes = {"dim": 8, "depth": 1, "num_heads": 2}
    decoder = {"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2}
    inpainter = Inpainter(image_size=16, patch_size=4, **sizes, **decoder)
    return inpainter.eval().requires_grad_(False)


def test_a_shift_moves_each_image_and_fills_with_zeros():
    batch = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).expand(3, 1, 3, 3)
    moved = shifted(batch, torch.tensor([[0, 0], [1, 0], [-1, 2]]))
    assert moved[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert moved[1, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moved[2, 0].tolist() == [[0, 0, 4], [0, 0, 7], [0, 0, 0]]


def test_shifts_reach_the_limit_both_ways_and_axes_are_independent():
    torch.manual_seed(0)
    shifts = random_shifts(4000, 3)
    assert shifts.shape == (4000, 2)
    assert shifts.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert len({tuple(pair) for pair in shifts.tolist()}) == 49
    assert random_shifts(5, 0).tolist() == [[0, 0]] * 5


def test_the_region_holds_the_old_and_the_new_place():
    mask, moved = torch.tensor([[1.0, 1, 0, 0, 0.5]]), torch.tensor([[0.0, 1, 1, 0, 0.5]])
    assert inpainted_region(mask, moved).tolist() == [[1, 1, 1, 0, 0.75]]


def test_the_kept_share_of_a_patch_is_that_of_its_worst_pixel():
    region = torch.zeros(1, 1, 4, 6)
    region[0, 0, 1, 0], region[0, 0, 3, 5], region[0, 0, 2, 4] = 0.25, 1.0, 0.5
    assert kept_patches(region, 2).tolist() == [[0.75, 1, 1, 1, 1, 0]]


def test_the_three_images_of_one_row():
    def row(*values):
        return torch.tensor(values)[None, None, None]

    layers = Layers(
        image=row(1.0, 2, 3, 4),
        shifted_image=row(0.0, 1, 2, 3),
        background=row(10.0, 20, 30, 40),
        mask=row(0.0, 1, 0.5, 0),
        shifted_mask=row(0.0, 0, 1, 0.5),
    )
    assert layers.composed().flatten().tolist() == [10, 20, 2, 21.5]
    assert layers.unshifted().flatten().tolist() == [10, 2, 16.5, 40]
    assert layers.copy_paste().flatten().tolist() == [1, 2, 2, 3.5]


def test_an_empty_mask_hides_no_patch_and_a_full_one_all():
    inpainter = tiny_inpainter()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    still = torch.zeros(2, 2, dtype=torch.long)
    empty = torch.zeros(2, 1, 16, 16)
    layers = layers_of(inpainter, images, empty, still, copy_real=False)
    assert_close(layers.background, inpainter(images))
    assert_close(layers.image, inpainter(images))
    full = layers_of(inpainter, images, empty + 1, still, copy_real=False)
    assert_close(full.background, inpainter(images, torch.zeros(2, 16)))
    assert (full.background - layers.background).abs().max() > 0.01


def test_only_touched_patches_are_painted_when_photographs_are_copied():
    inpainter = tiny_inpainter()
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    layers = layers_of(inpainter, images, mask, torch.tensor([[0, 4]]), copy_real=True)
    painted = (layers.background != images).any(dim=1)[0]
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[4:8, 4:12] = True  # the old and the new place
    assert painted.equal(expected)
    assert layers.image is images
    assert layers.shifted_image.equal(shifted(images, torch.tensor([[0, 4]])))


def test_only_the_mask_has_a_gradient_through_shift_and_inpainting():
    inpainter = tiny_inpainter()
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.full((1, 1, 16, 16), 0.5, requires_grad=True)
    layers = layers_of(inpainter, images, mask, torch.tensor([[2, -2]]), copy_real=False)
    (into_background,) = torch.autograd.grad(layers.background.sum(), mask, retain_graph=True)
    assert into_background.abs().sum() > 0
    (whole,) = torch.autograd.grad(layers.composed().square().sum(), mask)
    assert whole[..., :-2, 2:].count_nonzero() == 14 * 14
    assert not layers.image.requires_grad and not layers.shifted_image.requires_grad
