"""Normalised cuts of patch graphs: the eigenvalue solver of TokenCut and MaskCut.

Patches are vertices. An edge has the weight 1, every other pair the weight eps. The cut is the
second smallest eigenvector y of (D - W) y = lambda D y (Shi and Malik, 2000), where D holds the
degrees. With z = D^(1/2) y it is the second largest eigenvector of S = D^(-1/2) W D^(-1/2). The
largest one is known: D^(1/2) 1. Lanczos runs on the space orthogonal to it and needs a few products
with the edges. A dense solver needs O(N^3) operations.

Shapes: B images, N patches, C channels.
"""

import logging
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor

logger = logging.getLogger(__name__)

CHECK_EVERY = 5  # steps between looks at the residual


@dataclass(frozen=True)
class Precision:
    """Limits of Lanczos in one number format.

    Attributes:
        dtype: the number format.
        steps: most products with the graph.
        error: largest allowed error of an eigenvector of length 1, measured as its residual over
            the distance to the next eigenvalue.
        rounding: least residual that is assumed, even if Lanczos estimates a smaller one.
    """

    dtype: torch.dtype
    steps: int
    error: float
    rounding: float


SINGLE = Precision(torch.float32, steps=60, error=1e-5, rounding=5e-7)
DOUBLE = Precision(torch.float64, steps=300, error=1e-9, rounding=1e-15)


@dataclass(frozen=True)
class Cut:
    """Cut of each image's graph.

    Attributes:
        eigenvector: (B, N) float64, y of length 1 in D; its sign is arbitrary.
        eigenvalue: (B,) float64, lambda in [0, 2]; near 0 the two sides are hardly connected.
        dense: (B,) bool, True if Lanczos did not converge and LAPACK solved the graph.
    """

    eigenvector: Tensor
    eigenvalue: Tensor
    dense: Tensor


def similarity_edges(tokens: Tensor, tau: float) -> Tensor:
    """Return the edges, (B, N, N) float32: 1 if the cosine similarity is > tau, otherwise 0.

    The comparison is strict, as in TokenCut's code; its paper writes >=. A zero vector has no edge,
    not even to itself.

    Args: tokens: (B, N, C).
    """
    unit = F.normalize(tokens.float(), dim=2)
    return (unit @ unit.transpose(1, 2)).gt_(
        tau
    )  # in place: writing the matrix takes most of the time


def normalized_cut(edges: Tensor, eps: float) -> Cut:
    """Return the second smallest generalised eigenvector of each graph.

    Lanczos runs in float32. It runs again in float64 if float32 cannot separate the next
    eigenvalue. If this does not converge either, LAPACK solves the graph. If the eigenvalue is
    multiple, any vector of its space is a valid result.

    Args:
        edges: (B, N, N) float32, 1 for an edge and 0 for other pairs; symmetric.
        eps: weight of a pair without an edge, above 0.
    """
    if edges.device.type == "cpu" and len(edges) > 1:
        # A batch of matrix-vector products is slow on CPUs, and each image converges after its own
        # number of steps. Each graph is copied: the rounding of BLAS may depend on the address of a
        # matrix, and with it on the batch.
        cuts = [normalized_cut(one.clone(), eps) for one in edges.split(1)]
        return Cut(
            torch.cat([cut.eigenvector for cut in cuts]),
            torch.cat([cut.eigenvalue for cut in cuts]),
            torch.cat([cut.dense for cut in cuts]),
        )
    images, patches = edges.shape[:2]
    if patches == 1:
        one = edges.new_ones(images, 1, dtype=torch.float64)
        return Cut(one, torch.zeros_like(one[:, 0]), torch.zeros_like(one[:, 0], dtype=torch.bool))
    # Whole numbers below 2^24 are exact in float32.
    degree = eps * patches + (1 - eps) * edges.sum(dim=2).double()
    vector, value, error = _lanczos(edges, degree, eps, SINGLE)
    dense = error > SINGLE.error
    again = dense.nonzero()[:, 0]
    if len(again):
        vector[again], value[again], error = _lanczos(edges[again], degree[again], eps, DOUBLE)
        dense[again] = error > DOUBLE.error
    for image in dense.nonzero()[:, 0].tolist():
        logger.debug("image %d of a batch: Lanczos did not converge, LAPACK solves it", image)
        vector[image], value[image] = _dense(edges[image], degree[image], eps)
    return Cut(vector / degree.sqrt(), value, dense)


class _Operator:
    """Product with S: x -> S x. The eps part is one sum instead of a matrix."""

    def __init__(self, edges: Tensor, degree: Tensor, eps: float, dtype: torch.dtype):
        self.edges = edges.to(dtype)
        self.root = degree.rsqrt().to(dtype)
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        scaled = self.root * x
        product = torch.bmm(self.edges, scaled[:, :, None])[:, :, 0]
        return self.root * (self.eps * scaled.sum(dim=1, keepdim=True) + (1 - self.eps) * product)


def _lanczos(
    edges: Tensor, degree: Tensor, eps: float, precision: Precision
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the second largest eigenvector z of S, its lambda and a bound of its error.

    They are (B, N), (B,) and (B,), float64. Every vector is made orthogonal to all vectors before
    it, twice. Without that, copies of eigenvectors appear that were found already. The start vector
    is the same for all graphs, which makes the result a function of the graph.
    """
    dtype, steps, rounding = precision.dtype, precision.steps, precision.rounding
    apply = _Operator(edges, degree, eps, dtype)
    first = (degree / degree.sum(dim=1, keepdim=True)).sqrt().to(dtype)
    images, patches = degree.shape
    basis = torch.zeros(images, steps + 1, patches, dtype=dtype, device=edges.device)
    diagonal = torch.zeros(images, steps, dtype=torch.float64, device=edges.device)
    beside = torch.zeros_like(diagonal)
    start = torch.from_numpy(np.random.default_rng(0).standard_normal(patches)).to(first)
    start = start - first * (first @ start)[:, None]
    basis[:, 0] = start / start.norm(dim=1, keepdim=True)
    for step in range(steps):
        image = apply(basis[:, step])
        diagonal[:, step] = (image * basis[:, step]).sum(dim=1)
        done = torch.cat([first[:, None], basis[:, : step + 1]], dim=1)
        for _ in range(2):
            image = image - torch.bmm(torch.bmm(image[:, None], done.transpose(1, 2)), done)[:, 0]
        length = image.norm(dim=1)
        # At length 0 the basis spans all vectors that the start can reach.
        length = torch.where(length > 10 * rounding, length, 0.0)
        beside[:, step] = length
        basis[:, step + 1] = image / torch.where(length > 0, length, torch.inf)[:, None]
        if (step + 1) % CHECK_EVERY and step + 1 < steps:
            continue
        value, weights, error = _ritz(diagonal[:, : step + 1], beside[:, : step + 1], rounding)
        if bool((error <= precision.error).all()):
            break
    vector = torch.bmm(weights.to(first)[:, None], basis[:, : step + 1])[:, 0]
    return vector.double(), 1 - value.to(degree), error.to(degree)


def _ritz(diagonal: Tensor, beside: Tensor, rounding: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest eigenvalue of each tridiagonal matrix, its vector and an error bound.

    They are computed on the CPU.

    Args: diagonal: (B, K).  beside: (B, K), the numbers beside the diagonal.
    """
    diagonal, beside = diagonal.cpu(), beside.cpu()
    matrix = torch.diag_embed(diagonal)
    if diagonal.shape[1] > 1:
        matrix += torch.diag_embed(beside[:, :-1], 1) + torch.diag_embed(beside[:, :-1], -1)
    values, vectors = torch.linalg.eigh(matrix)
    largest = vectors[:, :, -1]
    residual = (beside[:, -1] * largest[:, -1].abs()).clamp(min=rounding)
    gap = values[:, -1] - values[:, -2] if values.shape[1] > 1 else torch.ones_like(residual)
    return values[:, -1], largest, residual / gap.clamp(min=1e-300)


def _dense(edges: Tensor, degree: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the second largest eigenvector of one graph's S (N,), and its lambda, by LAPACK."""
    root = degree.rsqrt().cpu().numpy()
    weights = np.where(edges.cpu().numpy() > 0, 1.0, eps)
    patches = len(root)
    values, vectors = scipy.linalg.eigh(
        root[:, None] * weights * root, subset_by_index=[patches - 2, patches - 2]
    )
    return torch.from_numpy(vectors[:, 0]).to(degree), 1 - torch.tensor(values[0]).to(degree)
