import math

import numpy as np
import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.agreement import mask_iou
from boxrefine_d2.masks.bilateral import (
    BilateralSolver,
    bilateral_grid,
    bilateral_masks,
    bistochastic,
    region_of,
)

SIGMAS = {"sigma_spatial": 16.0, "sigma_luma": 16.0, "sigma_chroma": 8.0}
SOLVER = SIGMAS | {
    "confidence": 0.999,
    "smoothness": 256.0,
    "balance_rounds": 10,
    "cg_tolerance": 1e-5,
    "cg_iterations": 25,
}
SMALL = {"sigma_spatial": 4.0, "sigma_luma": 40.0, "sigma_chroma": 30.0}


def noisy_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def solve(image, target, **settings):
    return BilateralSolver(image, **settings)(target)


def dense_system(image, target, *, sigmas, confidence, smoothness, rounds):
    """Return the vertex of each pixel, A, b and the first guess, by the solver's formulas.

    The computation uses loops and full matrices.
    """
    height, width = target.shape
    places, vertex = {}, np.zeros(target.shape, dtype=int)
    for y in range(height):
        for x in range(width):
            red, green, blue = (float(value) for value in image[y, x])
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            u = -0.168736 * red - 0.331264 * green + 0.5 * blue + 128
            v = 0.5 * red - 0.418688 * green - 0.081312 * blue + 128
            spatial, sigma_luma, chroma = sigmas
            cell = (x / spatial, y / spatial, luma / sigma_luma, u / chroma, v / chroma)
            vertex[y, x] = places.setdefault(tuple(map(math.floor, cell)), len(places))
    count = len(places)
    blur = np.zeros((count, count))
    for a, i in places.items():
        for b, j in places.items():
            distance = sum(abs(p - q) for p, q in zip(a, b))
            blur[i, j] = 10 if distance == 0 else float(distance == 1)
    splat = np.zeros((count, height * width))
    splat[vertex.ravel(), np.arange(height * width)] = 1

    m, n = splat.sum(axis=1), np.ones(count)
    for _ in range(rounds):
        n = np.sqrt(n * m / (blur @ n))
    m = n * (blur @ n)
    weight = splat @ np.full(height * width, confidence)
    wanted = splat @ (target.ravel() * confidence)
    matrix = smoothness * (np.diag(m) - np.diag(n) @ blur @ np.diag(n)) + np.diag(weight)
    return vertex, matrix, wanted, wanted / weight


def textbook_cg(matrix, wanted, guess, steps):
    """Return the iterate of conjugate gradients, preconditioned by the diagonal."""
    inverse = 1 / np.maximum(np.diag(matrix), 1e-5)
    x, residual = guess.copy(), wanted - matrix @ guess
    direction = inverse * residual
    product = residual @ direction
    for _ in range(steps):
        step = product / (direction @ matrix @ direction)
        x, residual = x + step * direction, residual - step * (matrix @ direction)
        previous, product = product, residual @ (inverse * residual)
        direction = inverse * residual + product / previous * direction
    return x


@pytest.fixture
def tiny():
    """An image, a target, their dense system, and our settings of the same meaning."""
    image = noisy_image(12, 14) // 2 + np.linspace(0, 127, 14).astype(np.uint8)[None, :, None]
    target = np.random.default_rng(1).random((12, 14))
    ours = SMALL | {"confidence": 0.7, "smoothness": 30.0, "balance_rounds": 10}
    dense = dense_system(
        image, target, sigmas=(4, 40, 30), confidence=0.7, smoothness=30, rounds=10
    )
    return image, target, dense, ours


def test_it_solves_the_dense_system(tiny):
    image, target, (vertex, matrix, wanted, _), ours = tiny
    assert 10 < len(matrix) < image[..., 0].size  # some pixels share a vertex
    solved = solve(image, target, **ours, cg_tolerance=1e-13, cg_iterations=5000)
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, wanted)[vertex], atol=1e-10)
    assert solved.dtype == np.float64


@pytest.mark.parametrize("steps", [1, 4])
def test_it_stops_after_the_given_steps_from_the_published_guess(tiny, steps):
    image, target, (vertex, matrix, wanted, guess), ours = tiny
    stopped = solve(image, target, **ours, cg_tolerance=1e-13, cg_iterations=steps)
    expected = textbook_cg(matrix, wanted, guess, steps)
    assert np.abs(expected - np.linalg.solve(matrix, wanted)).max() > 1e-3  # not converged
    np.testing.assert_allclose(stopped, expected[vertex], atol=1e-10)


def test_blur_counts_the_neighbours_of_a_plain_image():
    # one pixel per cell, 2 x 3 cells: corners have two neighbours, the other cells three
    plain = np.full((2, 3, 3), 77, dtype=np.uint8)
    grid = bilateral_grid(plain, sigma_spatial=1, sigma_luma=16, sigma_chroma=8)
    counts = grid.slice(grid.blur @ np.ones(6)).reshape(2, 3)
    assert counts.tolist() == [[12, 13, 12], [12, 13, 12]]
    assert grid.splat(np.arange(6.0)).sum() == 15


def test_blurred_rows_sum_to_the_masses_which_approximate_pixel_counts():
    grid = bilateral_grid(noisy_image(60, 80) // 3, **SIGMAS)
    n, m = bistochastic(grid, rounds=10)
    normalised = n[:, None] * grid.blur.toarray() * n
    np.testing.assert_allclose(normalised.sum(axis=1), m, rtol=1e-12)
    np.testing.assert_allclose(normalised, normalised.T)
    np.testing.assert_allclose(m, np.bincount(grid.vertex), rtol=0.01)


def test_grey_pixels_share_their_cells_of_chroma():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    grid = bilateral_grid(ramp, sigma_spatial=1000, sigma_luma=16, sigma_chroma=8)
    assert grid.vertex.tolist() == [level // 16 for level in range(256)]


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_target_stays_constant(value):
    solved = solve(noisy_image(30, 41), np.full((30, 41), value), **SOLVER)
    np.testing.assert_allclose(solved, value, atol=1e-12)


def test_a_plain_image_spreads_the_target_and_keeps_its_mean():
    # there is one cell: every pixel becomes the mean
    target = np.random.default_rng(2).random((9, 11)) > 0.7
    solved = solve(np.full((9, 11, 3), 40, dtype=np.uint8), target, **SOLVER)
    np.testing.assert_allclose(solved, target.mean(), atol=1e-12)


def test_the_result_stays_in_the_range_of_the_target():
    solved = solve(noisy_image(40, 50) // 4, noisy_image(40, 50)[..., 0] > 90, **SOLVER)
    assert -1e-4 < solved.min() < solved.max() < 1 + 1e-4


def planted(height=90, width=120):
    """Return a noisy red ellipse on blue, its pixels, and a coarse mask of 16-pixel cells."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - 45) / 27) ** 2 + ((columns - 58) / 38) ** 2 < 1
    image = np.where(inside[..., None], [190, 50, 40], [40, 60, 170])
    image = image + np.random.default_rng(3).integers(-12, 13, image.shape)
    cells = inside[8::16, 8::16].repeat(16, 0).repeat(16, 1)
    mask = np.zeros_like(inside)
    mask[: len(cells), : cells.shape[1]] = cells[:height, :width]
    return image.astype(np.uint8), inside, mask


@pytest.mark.parametrize("region", ["second_largest", "largest_object"])
def test_a_coarse_mask_snaps_to_the_edge_of_colours(region):
    image, inside, mask = planted()
    assert mask_iou(mask, inside) < 0.85
    (refined,) = bilateral_masks(image, mask[None], region=region, min_iou=0.5, **SOLVER)
    assert mask_iou(refined, inside) > 0.98


@pytest.mark.parametrize(("share", "expected"), [(0.4, False), (0.6, True)])
def test_the_mask_holds_the_pixels_above_a_half(share, expected):
    # there is one cell: every pixel becomes the share of the mask
    mask = np.arange(10)[None].repeat(10, 0) < 10 * share
    plain = np.full((10, 10, 3), 40, dtype=np.uint8)
    (refined,) = bilateral_masks(plain, mask[None], region="largest_object", min_iou=0, **SOLVER)
    assert (refined == expected).all()


def test_each_mask_is_refined_and_a_rejected_one_is_empty():
    image, _, mask = planted()
    masks = np.stack([mask, np.roll(mask, 24, axis=1)])
    options = {"region": "largest_object", **SOLVER}
    every = bilateral_masks(image, masks, min_iou=0, **options)
    assert np.array_equal(every[1], bilateral_masks(image, masks[1:], min_iou=0, **options)[0])
    alike = [mask_iou(*pair) for pair in zip(every, masks, strict=True)]
    assert 0 < alike[1] < alike[0]
    some = bilateral_masks(image, masks, min_iou=alike[0], **options)
    assert np.array_equal(some[0], every[0])
    assert not some[1].any()
    assert bilateral_masks(image, masks[:0], min_iou=0, **options).shape == (0, *mask.shape)


def test_regions_by_hand():
    mask = np.zeros((6, 8), dtype=bool)
    mask[1:4, 1:4] = True
    mask[2, 2] = False  # a hole
    mask[4, 4] = True  # touches the square at a corner only
    expected = np.zeros_like(mask)
    expected[1:4, 1:4] = True
    for region in ("second_largest", "largest_object"):
        assert np.array_equal(region_of(mask, region), expected)


def test_the_second_largest_region_may_be_the_background():
    mask = np.ones((4, 6), dtype=bool)
    mask[:, 0] = False
    assert np.array_equal(region_of(mask, "second_largest"), ~mask)
    assert np.array_equal(region_of(mask, "largest_object"), mask)
    half = np.arange(6) < 3
    assert np.array_equal(region_of(half[None].repeat(4, 0), "second_largest")[0], ~half)


def test_regions_of_an_empty_and_a_full_mask():
    nothing = np.zeros((4, 6), dtype=bool)
    assert region_of(nothing, "second_largest").all()
    assert not region_of(nothing, "largest_object").any()
    assert not region_of(~nothing, "second_largest").any()
    assert region_of(~nothing, "largest_object").all()


def test_mistakes_are_named():
    image, mask = noisy_image(5, 7), np.ones((5, 7), dtype=bool)
    with pytest.raises(ValueError, match=r"target of \(7, 5\) .* image of \(5, 7\)"):
        solve(image, mask.T, **SOLVER)
    with pytest.raises(ValueError, match="uint8 is needed, not float64"):
        solve(image / 255, mask, **SOLVER)
    with pytest.raises(ValueError, match="bool or float is needed, not int64"):
        solve(image, mask.astype(np.int64), **SOLVER)
    with pytest.raises(ValueError, match=r"\(H, W, 3\) is needed, not \(5, 7\)"):
        solve(image[..., 0], mask, **SOLVER)
    with pytest.raises(ValueError, match="not finite"):
        solve(image, np.full((5, 7), np.nan), **SOLVER)
    with pytest.raises(ValueError, match="masks of bool are needed, not float64"):
        bilateral_masks(image, mask[None] * 1.0, region="second_largest", min_iou=0, **SOLVER)
    with pytest.raises(ValueError, match=r"\(1, 7, 5\) do not belong to an image of \(5, 7, 3\)"):
        bilateral_masks(image, mask.T[None], region="second_largest", min_iou=0, **SOLVER)
    with pytest.raises(UserError, match="sigma_luma is 0"):
        solve(image, mask, **SOLVER | {"sigma_luma": 0})
    with pytest.raises(UserError, match="confidence is 0"):
        solve(image, mask, **SOLVER | {"confidence": 0})
    with pytest.raises(UserError, match="smoothness is -1"):
        solve(image, mask, **SOLVER | {"smoothness": -1})
    with pytest.raises(UserError, match="more cells than can be numbered"):
        solve(image, mask, **SOLVER | {"sigma_luma": 1e-6, "sigma_chroma": 1e-6})
    with pytest.raises(
        UserError, match="'largest' is unknown; known: second_largest, largest_object"
    ):
        region_of(mask, "largest")
