"""Baselines of the normalised cuts: TokenCut and MaskCut by dense LAPACK solves.

They are written from the methods' description and read one image at a time. They share nothing with
the package, and the package's tests use them as the oracle.

Shapes: N = h * w patches in row-major order, C channels; tokens are (N, C).
"""

import numpy as np
import scipy.linalg
from scipy import ndimage


def affinity(tokens: np.ndarray, tau: float, eps: float) -> np.ndarray:
    """Return the graph's weights, (N, N) float64; a zero token is similar to no token.

    Args:
        tokens: (N, C).
        tau: cosine that two similar tokens exceed; their weight is 1.
        eps: weight of all other pairs.
    """
    norms = np.linalg.norm(tokens, axis=1, keepdims=True)
    unit = tokens / np.maximum(norms, 1e-12)
    return np.where(unit @ unit.T > tau, 1.0, eps)


def second_eigenpair(weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the second eigenvalue of (D - W) y = lambda D y and its eigenvector (N,).

    The vector's sign is arbitrary. As published, the solver computes the second and third pair.
    """
    degrees = np.diag(weights.sum(axis=1))
    values, vectors = scipy.linalg.eigh(degrees - weights, degrees, subset_by_index=[1, 2])
    return values[0], vectors[:, 0]


def first_largest(values: np.ndarray) -> int:
    """Return the index of the largest value, the first of those that are equal up to rounding.

    Patches with equal neighbourhoods have equal entries up to rounding.
    """
    return int((values >= (1 - 1e-6) * values.max()).argmax())


def component(mask: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Return the mask of the 4-connected component that contains the cell (row, column)."""
    ids, _ = ndimage.label(mask)
    return ids == ids[cell]


def tokencut_mask(
    tokens: np.ndarray, grid_size: tuple[int, int], tau: float = 0.2, eps: float = 1e-5
) -> np.ndarray:
    """Return TokenCut's foreground (h, w), bool."""
    _, y = second_eigenpair(affinity(tokens, tau, eps))
    upper = y > y.mean()
    seed = first_largest(np.abs(y))
    if not upper[seed]:
        upper = ~upper
    return component(upper.reshape(grid_size), divmod(seed, grid_size[1]))


def maskcut_masks(
    tokens: np.ndarray,
    grid_size: tuple[int, int],
    n_masks: int = 3,
    tau: float = 0.15,
    eps: float = 1e-5,
) -> list[np.ndarray]:
    """Return MaskCut's `n_masks` bool arrays (h, w), empty for a rejected round."""
    h, w = grid_size
    painted = np.zeros(h * w, bool)
    previous = np.zeros((h, w), bool)
    emitted = []
    for number in range(n_masks):
        painted |= previous.ravel()
        kept = tokens.astype(np.float64) * ~painted[:, None]
        _, y = second_eigenpair(affinity(kept, tau, eps))
        # LAPACK's sign is arbitrary, and the corner rule would depend on it. The side of the
        # largest entry becomes the upper one.
        strongest = first_largest(np.abs(y))
        if y[strongest] <= y.mean():
            y = -y
        upper = y > y.mean()
        if upper.reshape(h, w)[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= 3:
            upper, y = ~upper, -y
        mask = component(upper.reshape(h, w), divmod(first_largest(y), w))
        if number > 0:
            union = (mask | previous).sum()
            if (mask & previous).sum() / union > 0.5 or mask.mean() <= 0.01:
                mask = np.zeros_like(mask)
        previous = mask
        emitted.append(mask & ~np.any([*emitted, np.zeros_like(mask)], axis=0))
    return emitted
