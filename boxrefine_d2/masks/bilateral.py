"""The fast bilateral solver: it adapts a mask to the colours of its image (arXiv:1511.03296).

The settings and steps are those of TokenCut (arXiv:2202.11539), MOVE and FOUND. Shapes: an image of
H x W pixels, V vertices of its grid.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from boxrefine_d2.errors import UserError, check_choice

from .agreement import unless_changed
from .checks import check_masks, check_rgb

# RGB to luma and chroma (JPEG), in millionths. The products are whole numbers and exact in float64.
# Grey pixels lie on the border between two cells of chroma; exact numbers put them into the same
# cell on every machine.
_MILLION = 1_000_000
_YUV = np.array(
    [[299_000, 587_000, 114_000], [-168_736, -331_264, 500_000], [500_000, -418_688, -81_312]],
    dtype=np.float64,
)
_YUV_OFFSET = np.array([0, 128 * _MILLION, 128 * _MILLION], dtype=np.float64)

_DIMENSIONS = 5  # x, y, Y, U, V
_JACOBI_FLOOR = 1e-5  # least diagonal element of the preconditioner

Region = Literal["second_largest", "largest_object"]
REGIONS = ("second_largest", "largest_object")


@dataclass(frozen=True)
class BilateralGrid:
    """The occupied cells of the space of position and colour.

    Attributes:
        vertex: (H * W,) vertex of each pixel, row-major.
        blur: (V, V) sparse, symmetric: 10 on the diagonal, 1 between neighbours along one of the
            five dimensions.
    """

    vertex: np.ndarray
    blur: sparse.csr_array

    def splat(self, values: np.ndarray) -> np.ndarray:
        """Return (V,): the sum of the values (H * W,) over the pixels of each vertex."""
        return np.bincount(self.vertex, weights=values, minlength=self.blur.shape[0])

    def slice(self, values: np.ndarray) -> np.ndarray:
        """Return (H * W,): the value, out of (V,), of each pixel's vertex."""
        sliced: np.ndarray = values[self.vertex]
        return sliced


def bilateral_grid(
    image: np.ndarray, *, sigma_spatial: float, sigma_luma: float, sigma_chroma: float
) -> BilateralGrid:
    """Return the grid of an image; cells are one sigma wide, and coordinates are rounded down.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma_spatial: pixels.
        sigma_luma: levels, of 256.
        sigma_chroma: levels, of 256.
    Raises: ValueError for another shape or type; UserError for a sigma that is not above 0.
    """
    check_rgb(image)
    sigmas = {"spatial": sigma_spatial, "luma": sigma_luma, "chroma": sigma_chroma}
    for name, sigma in sigmas.items():
        if not sigma > 0:
            raise UserError(f"bilateral solver: sigma_{name} is {sigma}, but it must be above 0")
    keys, steps = _cell_keys(image, sigma_spatial, sigma_luma, sigma_chroma)
    vertices, vertex = np.unique(keys, return_inverse=True)
    return BilateralGrid(vertex, _blur(vertices, steps))


def _cell_keys(
    image: np.ndarray, sigma_spatial: float, sigma_luma: float, sigma_chroma: float
) -> tuple[np.ndarray, list[int]]:
    """Return the key (H * W,) of each pixel's cell, and the key steps to the next cells.

    The second list has one step for each dimension.
    """
    height, width = image.shape[:2]
    yuv = image.reshape(-1, 3).astype(np.float64) @ _YUV.T + _YUV_OFFSET
    colour_cell = _MILLION * np.array([sigma_luma, sigma_chroma, sigma_chroma])
    colours = (yuv / colour_cell).astype(np.int64).T
    columns = (np.arange(width) / sigma_spatial).astype(np.int64)
    rows = (np.arange(height) / sigma_spatial).astype(np.int64)

    # mixed radix; one spare digit ensures that the last cell's neighbour is no other cell
    keys, step, steps = np.zeros((height, width), dtype=np.int64), 1, []
    for cells in (columns, rows[:, None], *colours.reshape(3, height, width)):
        steps.append(step)
        keys += step * cells
        step *= int(cells.max()) + 2
        if not 0 < step <= np.iinfo(np.int64).max:
            raise UserError(
                f"bilateral solver: sigmas {sigma_spatial}, {sigma_luma}, {sigma_chroma} make "
                "more cells than can be numbered; larger ones are needed"
            )
    return keys.ravel(), steps


def _blur(vertices: np.ndarray, steps: list[int]) -> sparse.csr_array:
    count = len(vertices)
    lower, upper = [], []
    for step in steps:
        place = np.searchsorted(vertices, vertices + step).clip(max=count - 1)
        pairs = np.flatnonzero(vertices[place] == vertices + step)
        lower.append(pairs)
        upper.append(place[pairs])
    below, above, own = np.concatenate(lower), np.concatenate(upper), np.arange(count)
    weights = np.concatenate([np.full(count, 2.0 * _DIMENSIONS), np.ones(2 * len(below))])
    ends = (np.concatenate([own, below, above]), np.concatenate([own, above, below]))
    return sparse.csr_array((weights, ends), shape=(count, count))


def bistochastic(grid: BilateralGrid, *, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights n and masses m, both (V,), that balance the blur of a grid.

    The rows of diag(n) blur diag(n) sum to m. A mass is approximately the number of pixels of its
    vertex.
    """
    m = grid.splat(np.ones(len(grid.vertex)))
    n = np.ones_like(m)
    for _ in range(rounds):
        n = np.sqrt(n * m / (grid.blur @ n))
    return n, n * (grid.blur @ n)


class BilateralSolver:
    """Solver for the smooth map near a target that changes where the colours of the image change.

    All targets share one linear system.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma_spatial, sigma_luma, sigma_chroma: see `bilateral_grid`.
        confidence: weight of the target, above 0.
        smoothness: weight of differences between neighbours (lambda).
        balance_rounds: rounds of `bistochastic`.
        cg_tolerance: relative residual at which conjugate gradients stop.
        cg_iterations: largest number of steps of conjugate gradients.
    Raises: ValueError for another shape or type; UserError for a number out of range.
    """

    def __init__(
        self,
        image: np.ndarray,
        *,
        sigma_spatial: float,
        sigma_luma: float,
        sigma_chroma: float,
        confidence: float,
        smoothness: float,
        balance_rounds: int,
        cg_tolerance: float,
        cg_iterations: int,
    ):
        if not confidence > 0:
            raise UserError(f"bilateral solver: confidence is {confidence}, but it must be above 0")
        if not smoothness >= 0:
            raise UserError(f"bilateral solver: smoothness is {smoothness}, but 0 is the least")
        self.size = image.shape[:2]
        self.cg_tolerance, self.cg_iterations = cg_tolerance, cg_iterations
        self._grid = bilateral_grid(
            image, sigma_spatial=sigma_spatial, sigma_luma=sigma_luma, sigma_chroma=sigma_chroma
        )
        self._confidence = np.full(image[..., 0].size, float(confidence))
        self._weight = self._grid.splat(self._confidence)
        n, m = bistochastic(self._grid, rounds=balance_rounds)
        balance = sparse.diags_array(n)
        rough = sparse.diags_array(m) - balance @ self._grid.blur @ balance
        self._system = sparse.csr_array(smoothness * rough + sparse.diags_array(self._weight))
        diagonal = np.maximum(self._system.diagonal(), _JACOBI_FLOOR)
        self._preconditioner = sparse.diags_array(1 / diagonal)

    def __call__(self, target: np.ndarray) -> np.ndarray:
        """Return the map (H, W) float64, in the target's range up to the solver's residual.

        Args: target: (H, W), bool or float.
        """
        self._check(target)
        wanted = self._grid.splat(target.ravel() * self._confidence)
        # As published, the last iterate is the result, even if it has not converged.
        values, _ = cg(
            self._system,
            wanted,
            x0=wanted / self._weight,
            rtol=self.cg_tolerance,
            atol=0.0,
            maxiter=self.cg_iterations,
            M=self._preconditioner,
        )
        return self._grid.slice(values).reshape(self.size)

    def _check(self, target: np.ndarray) -> None:
        if target.shape != self.size:
            raise ValueError(
                f"a target of {target.shape} pixels does not belong to an image of {self.size}"
            )
        if target.dtype != np.bool_ and not np.issubdtype(target.dtype, np.floating):
            raise ValueError(f"a target of bool or float is needed, not {target.dtype}")
        if not np.isfinite(target).all():
            raise ValueError("the target has values that are not finite")


def bilateral_masks(
    image: np.ndarray, masks: np.ndarray, *, region: Region, min_iou: float, **solver: Any
) -> np.ndarray:
    """Return each mask after the bilateral solver: one region of the map above 0.5, holes filled.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        region: see `region_of`.
        min_iou: least IoU of a result with its mask; a result below it becomes an empty mask. 0
            keeps every result.
        solver: keyword arguments of `BilateralSolver`.
    """
    check_masks(masks, image)
    solve = BilateralSolver(image, **solver)
    refined = [region_of(solve(mask) > 0.5, region) for mask in masks]
    kept = [unless_changed(*pair, min_iou) for pair in zip(refined, masks, strict=True)]
    return np.array(kept, dtype=np.bool_).reshape(masks.shape)


def region_of(mask: np.ndarray, region: Region) -> np.ndarray:
    """Return one region of a mask (H, W) bool after filling its holes; regions are 4-connected.

    Args:
        mask: (H, W) bool.
        region: "second_largest" counts the background as a region, as TokenCut does. The result is
            the background if the object is at least as large, nothing if the object covers
            everything, and everything if there is no object. "largest_object" (ours) is the
            largest component, or nothing if there is none.
    Raises: UserError for another name.
    """
    check_choice("region", region, REGIONS)
    component_ids, count = ndimage.label(ndimage.binary_fill_holes(mask))
    if count == 0:
        return np.full(mask.shape, region == "second_largest")
    areas = np.bincount(component_ids.ravel(), minlength=count + 1)
    if region == "largest_object":
        areas[0] = 0
    by_area = np.argsort(areas, kind="stable")  # among equals the later one, as in TokenCut's code
    chosen: np.ndarray = component_ids == by_area[-1 if region == "largest_object" else -2]
    return chosen
