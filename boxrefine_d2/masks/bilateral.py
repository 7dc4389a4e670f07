"""The fast bilateral solver: a mask that follows the colours of its image (arXiv:1511.03296).

As TokenCut (arXiv:2202.11539), MOVE and FOUND run it. Shapes: an image of H x W pixels, V vertices of its grid.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from boxrefine_d2.errors import UserError, check_choice

from .agreement import unless_changed
from .checks import check_masks, check_rgb

# RGB to luma and chroma (JPEG) in millionths. The products are whole numbers and exact in float64, so grey pixels,
# which lie on the border between two cells of chroma, fall into the same one on every machine.
_MILLION = 1_000_000
_YUV = np.array(
    [[299_000, 587_000, 114_000], [-168_736, -331_264, 500_000], [500_000, -418_688, -81_312]],
    dtype=np.float64,
)
_YUV_OFFSET = np.array([0, 128 * _MILLION, 128 * _MILLION], dtype=np.float64)

_DIMENSIONS = 5  # x, y, Y, U, V
_JACOBI_FLOOR = 1e-5  # of the preconditioner's diagonal

Region = Literal["second_largest", "largest_object"]
REGIONS = ("second_largest", "largest_object")


@dataclass(frozen=True)
class BilateralGrid:
    """The occupied cells of the space of position and colour.

    Attributes:
        vertex: (H * W,) the vertex of each pixel, row-major.
        blur: (V, V) sparse, symmetric: 10 on the diagonal, 1 between neighbours along one of the five dimensions.
    """

    vertex: np.ndarray
    blur: sparse.csr_array

    def splat(self, values: np.ndarray) -> np.ndarray:
        """(V,) the sums over the pixels of each vertex; values (H * W,)."""
        return np.bincount(self.vertex, weights=values, minlength=self.blur.shape[0])

    def slice(self, values: np.ndarray) -> np.ndarray:
        """(H * W,) the value of each pixel's vertex; values (V,)."""
        sliced: np.ndarray = values[self.vertex]
        return sliced


def bilateral_grid(
    image: np.ndarray, *, sigma_spatial: float, sigma_luma: float, sigma_chroma: float
) -> BilateralGrid:
    """The grid of an image: cells are the sigmas wide, coordinates are rounded down.

    Args: image: (H, W, 3) uint8 RGB.  sigma_spatial: pixels.  sigma_luma, sigma_chroma: of 256 levels.
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
    """One number for each pixel's cell, (H * W,), and what to add to it for the next cell of each dimension."""
    height, width = image.shape[:2]
    yuv = image.reshape(-1, 3).astype(np.float64) @ _YUV.T + _YUV_OFFSET
    colour_cell = _MILLION * np.array([sigma_luma, sigma_chroma, sigma_chroma])
    colours = (yuv / colour_cell).astype(np.int64).T
    columns = (np.arange(width) / sigma_spatial).astype(np.int64)
    rows = (np.arange(height) / sigma_spatial).astype(np.int64)

    # mixed radix; one more digit than is used, so that the last cell's neighbour is no other cell
    keys, step, steps = np.zeros((height, width), dtype=np.int64), 1, []
    for cells in (columns, rows[:, None], *colours.reshape(3, height, width)):
        steps.append(step)
        keys += step * cells
        step *= int(cells.max()) + 2
        if not 0 < step <= np.iinfo(np.int64).max:
            raise UserError(
                f"bilateral solver: sigmas {sigma_spatial}, {sigma_luma}, {sigma_chroma} make more cells "
                "than can be numbered; larger ones are needed"
            )
    return keys.ravel(), steps


def _blur(vertices: np.ndarray, steps: list[int]) -> sparse.csr_array:
    count = len(vertices)
    lower, upper = [], []
    for step in steps:
        place = np.searchsorted(vertices, vertices + step).clip(max=count - 1)
        found = np.flatnonzero(vertices[place] == vertices + step)
        lower.append(found)
        upper.append(place[found])
    below, above, own = np.concatenate(lower), np.concatenate(upper), np.arange(count)
    weights = np.concatenate([np.full(count, 2.0 * _DIMENSIONS), np.ones(2 * len(below))])
    ends = (np.concatenate([own, below, above]), np.concatenate([own, above, below]))
    return sparse.csr_array((weights, ends), shape=(count, count))


def bistochastic(grid: BilateralGrid, *, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights n and masses m, both (V,): the rows of diag(n) blur diag(n) sum to m, about the pixels of each vertex."""
    m = grid.splat(np.ones(len(grid.vertex)))
    n = np.ones_like(m)
    for _ in range(rounds):
        n = np.sqrt(n * m / (grid.blur @ n))
    return n, n * (grid.blur @ n)


class BilateralSolver:
    """Solves for the smooth map near a target that changes where the image's colours do; one system for all targets.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma_spatial, sigma_luma, sigma_chroma: see `bilateral_grid`.
        confidence: how much the target counts, above 0.
        smoothness: how much differences between neighbours count (lambda).
        balance_rounds: of `bistochastic`.
        cg_tolerance, cg_iterations: conjugate gradients stop at this residual, relative, or after so many steps.
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
        """The map (H, W) float64, in the range of the target but for what the solver leaves.

        Args: target: (H, W), bool or float.
        """
        self._check(target)
        wanted = self._grid.splat(target.ravel() * self._confidence)
        # as published, the last iterate is the result, converged or not
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
    """Each mask after the bilateral solver: what is above a half, holes filled, one region of it.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        region: see `region_of`.
        min_iou: with its mask; below it a result is rejected and the empty mask returned. 0 keeps everything.
        solver: the numbers of `BilateralSolver`.
    Returns: (N, H, W) bool.
    """
    check_masks(masks, image)
    solve = BilateralSolver(image, **solver)
    refined = [region_of(solve(mask) > 0.5, region) for mask in masks]
    kept = [unless_changed(*pair, min_iou) for pair in zip(refined, masks, strict=True)]
    return np.array(kept, dtype=np.bool_).reshape(masks.shape)


def region_of(mask: np.ndarray, region: Region) -> np.ndarray:
    """One region of a mask (H, W) bool whose holes are filled first; 4-connected.

    Args: region: "second_largest" counts the background as a region, as TokenCut does: it is the background where the
        object is not smaller than that, nothing where the object is everything, and everything where there is none.
        "largest_object" is the largest component (ours), nothing where there is none.
    Raises: UserError for another name.
    """
    check_choice("region", region, REGIONS)
    component_ids, count = ndimage.label(ndimage.binary_fill_holes(mask))
    if count == 0:
        return np.full(mask.shape, region == "second_largest")
    areas = np.bincount(component_ids.ravel(), minlength=count + 1)
    if region == "largest_object":
        areas[0] = 0
    by_area = np.argsort(areas, kind="stable")  # of equals the later one, as in the code
    chosen: np.ndarray = component_ids == by_area[-1 if region == "largest_object" else -2]
    return chosen
