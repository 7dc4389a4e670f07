import sys
import types

import numpy as np
import pytest
from scipy import ndimage

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.crf import crf_masks, require_pydensecrf, unary_energy

CRF = {
    "smooth_xy": 3.0,
    "smooth_weight": 7.0,
    "colour_xy": 50.0,
    "colour_rgb": 5.0,
    "colour_weight": 10.0,
    "iterations": 10,
}
HEIGHT, WIDTH = 6, 9


@pytest.fixture
def stub(monkeypatch):
    """A stand-in for pydensecrf that records its calls and returns `planted`, (2, H * W)."""
    record = types.SimpleNamespace(calls=[], planted=None)

    class DenseCRF2D:
        def __init__(self, width, height, labels):
            record.calls.append(("size", (width, height, labels)))

        def addPairwiseGaussian(self, **terms):
            record.calls.append(("gaussian", terms))

        def addPairwiseBilateral(self, **terms):
            record.calls.append(("bilateral", terms))

        def setUnaryEnergy(self, unary):
            record.calls.append(("unary", unary))

        def inference(self, iterations):
            record.calls.append(("inference", iterations))
            return record.planted

    package = types.ModuleType("pydensecrf")
    package.densecrf = types.ModuleType("pydensecrf.densecrf")
    package.densecrf.DenseCRF2D = DenseCRF2D
    monkeypatch.setitem(sys.modules, "pydensecrf", package)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", package.densecrf)
    return record


def image_of(height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def square(rows=slice(1, 5), columns=slice(2, 7)):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[rows, columns] = True
    return mask


def marginals(mask):
    share = np.where(mask.ravel(), 0.9, 0.2).astype(np.float32)
    return np.stack([1 - share, share])


def test_unary_is_the_log_softmax_of_the_mask():
    energy = unary_energy(np.array([[True, False]]))
    likely, unlikely = -np.log(0.7310586), -np.log(0.2689414)
    np.testing.assert_allclose(energy, [[unlikely, likely], [likely, unlikely]], rtol=1e-6)
    assert energy.dtype == np.float32 and energy.flags.c_contiguous


def test_pydensecrf_is_given_the_terms_once_and_each_mask(stub):
    image, masks = image_of(), np.stack([square(), square(slice(0, 3))])
    image.setflags(write=False)
    stub.planted = marginals(masks[0])
    crf_masks(image, masks, min_iou=0, **CRF)
    names = [name for name, _ in stub.calls]
    each = ["unary", "inference"]
    assert names == ["size", "gaussian", "bilateral", *each, *each]
    calls = dict(stub.calls[:3])
    assert calls["size"] == (WIDTH, HEIGHT, 2)
    assert calls["gaussian"] == {"sxy": 3.0, "compat": 7.0}
    given_image = calls["bilateral"].pop("rgbim")
    assert calls["bilateral"] == {"sxy": 50.0, "srgb": 5.0, "compat": 10.0}
    assert np.array_equal(given_image, image)
    assert given_image.flags.c_contiguous and given_image.flags.writeable
    for i, mask in enumerate(masks):
        assert np.array_equal(stub.calls[3 + 2 * i][1], unary_energy(mask))
        assert stub.calls[4 + 2 * i][1] == 10


def test_the_likelier_label_wins_and_holes_are_filled(stub):
    filled = square(columns=slice(2, 8))
    holed = filled.copy()
    holed[2, 4] = False
    stub.planted = marginals(holed)
    (refined,) = crf_masks(image_of(), square()[None], min_iou=0.5, **CRF)
    assert refined.dtype == np.bool_
    assert np.array_equal(refined, filled)


def test_equal_marginals_are_background(stub):
    stub.planted = np.full((2, HEIGHT * WIDTH), 0.5, dtype=np.float32)
    assert not crf_masks(image_of(), square()[None], min_iou=0, **CRF).any()


@pytest.mark.parametrize(("columns", "kept"), [(slice(2, 4), True), (slice(2, 3), False)])
def test_an_iou_below_the_limit_empties_the_mask(stub, columns, kept):
    # 2 of 4 columns have an IoU of exactly 0.5, which is kept
    stub.planted = marginals(square(columns=columns))
    (refined,) = crf_masks(image_of(), square(columns=slice(2, 6))[None], min_iou=0.5, **CRF)
    assert np.array_equal(refined, square(columns=columns) & kept)


def test_no_masks_and_empty_masks(stub):
    stub.planted = marginals(np.zeros((HEIGHT, WIDTH), dtype=bool))
    none = np.zeros((0, HEIGHT, WIDTH), dtype=bool)
    assert crf_masks(image_of(), none, min_iou=0.5, **CRF).shape == none.shape
    empty = np.zeros((1, HEIGHT, WIDTH), dtype=bool)
    assert not crf_masks(image_of(), empty, min_iou=0.5, **CRF).any()


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(UserError, match=r"pip install 'boxrefine_d2\[crf\]'.*--set crf=false"):
        require_pydensecrf()


def test_mistakes_are_named(stub):
    masks = square()[None]
    with pytest.raises(ValueError, match=r"\(1, 6, 9\) do not belong to an image of \(9, 6, 3\)"):
        crf_masks(image_of(9, 6), masks, min_iou=0.5, **CRF)
    with pytest.raises(ValueError, match="uint8 is needed, not float64"):
        crf_masks(image_of() / 255, masks, min_iou=0.5, **CRF)
    with pytest.raises(ValueError, match="bool are needed, not uint8"):
        crf_masks(image_of(), masks.astype(np.uint8), min_iou=0.5, **CRF)
    with pytest.raises(UserError, match="colour_rgb is 0"):
        crf_masks(image_of(), masks, min_iou=0.5, **CRF | {"colour_rgb": 0})


def kernel(features):
    """Return the (N, N) Gaussian of the distances, normalised symmetrically.

    Args: features: (N, D), in units of their widths.
    """
    distance = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    weights = np.exp(-distance / 2)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    return scale[:, None] * weights * scale


def mean_field(image, mask, crf):
    """Return the marginals of the object, by the full sums over all pairs."""
    rows, columns = np.indices(mask.shape).reshape(2, -1)
    position = np.stack([columns, rows], axis=1)
    colour = image.reshape(-1, 3) / crf["colour_rgb"]
    alike = kernel(np.hstack([position / crf["colour_xy"], colour]))
    pull = crf["smooth_weight"] * kernel(position / crf["smooth_xy"]) + crf["colour_weight"] * alike
    unary = unary_energy(mask).astype(float)
    energy = unary
    for _ in range(crf["iterations"] + 1):  # the first iteration is the unary's own softmax
        shares = np.exp(-energy) / np.exp(-energy).sum(axis=0)
        energy = unary - shares @ pull
    return shares[1].reshape(mask.shape)


@pytest.mark.parametrize(
    "changes", [{}, {"iterations": 1}, {"smooth_weight": 0.5, "colour_weight": 2.0}], ids=str
)
def test_the_real_package_agrees_with_the_full_sums(changes):
    # The package's lattice is approximate: pixels that the sums leave undecided may differ.
    pytest.importorskip("pydensecrf")
    random = np.random.default_rng(1)
    slope = np.add.outer(np.linspace(60, 150, 28), np.linspace(0, 50, 36))[..., None]
    image = (slope + random.integers(-6, 7, (28, 36, 3))).astype(np.uint8)
    mask = random.random((28, 36)) < np.linspace(0.2, 0.8, 36)
    crf = CRF | changes
    expected = ndimage.binary_fill_holes(mean_field(image, mask, crf) > 0.5)
    (refined,) = crf_masks(image, mask[None], min_iou=0, **crf)
    assert (expected ^ mask).mean() > 0.1
    assert (refined ^ expected).mean() < 0.02


def test_the_real_package_snaps_a_coarse_mask_to_the_edge_of_colours():
    pytest.importorskip("pydensecrf")
    rows, columns = np.mgrid[:28, :36]
    inside = ((rows - 13) / 8) ** 2 + ((columns - 17) / 11) ** 2 < 1
    image = np.where(inside[..., None], [190, 50, 40], [40, 60, 170])
    image = image + np.random.default_rng(1).integers(-4, 5, image.shape)
    coarse = inside[2::4, 2::4].repeat(4, 0).repeat(4, 1)
    assert (coarse ^ inside).sum() > 50
    (refined,) = crf_masks(image.astype(np.uint8), coarse[None], min_iou=0.5, **CRF)
    assert np.array_equal(refined, inside)
