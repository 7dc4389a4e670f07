from dataclasses import replace

import numpy as np
import pytest
import torch
from published_cuts import affinity, second_eigenpair

from boxrefine_d2.discovery import normalized_cut as module
from boxrefine_d2.discovery.normalized_cut import normalized_cut, similarity_edges

EPS = 1e-5


def clustered_tokens(patches=90, groups=4, noise=0.6, seed=0):
    """Return patches of a few kinds, whose graph has a meaningful cut."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, 16, generator=generator)
    kinds = torch.randint(groups, (patches,), generator=generator)
    return centres[kinds] + noise * torch.randn(patches, 16, generator=generator)


def aligned(found, expected):
    return found * torch.sign((found * expected).sum()) / found.norm() * expected.norm()


def test_edges_are_strictly_above_tau_and_zero_vectors_have_none():
    tokens = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, 0.0]]])
    half = similarity_edges(tokens, 0.0)[0]
    assert half.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert similarity_edges(tokens, 0.75)[0].sum() == 3  # the diagonal, without the zero vector


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tau", [0.0, 0.2, 0.4])
def test_equals_the_dense_generalised_problem(seed, tau):
    tokens = clustered_tokens(seed=seed)
    cut = normalized_cut(similarity_edges(tokens[None], tau), EPS)
    value, vector = second_eigenpair(affinity(tokens.numpy(), tau, EPS))
    assert cut.eigenvalue.item() == pytest.approx(value, abs=1e-6)
    expected = torch.from_numpy(vector)
    found = aligned(cut.eigenvector[0], expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
    assert not cut.dense


def test_float64_takes_over_where_the_next_eigenvalue_is_near(monkeypatch):
    """Check two weakly linked pairs of groups.

    float32 cannot separate their second and third eigenvalue.
    """
    blocks = torch.block_diag(*[torch.ones(20, 20)] * 3)
    blocks[0, 20] = blocks[20, 0] = 1.0
    blocks[21, 40] = blocks[40, 21] = blocks[22, 41] = blocks[41, 22] = 1.0
    blocks[5, 45] = blocks[45, 5] = 1.0
    seen = []
    plain = module._lanczos

    def recorded(edges, degree, eps, precision):
        seen.append(precision.dtype)
        return plain(edges, degree, eps, precision)

    monkeypatch.setattr(module, "_lanczos", recorded)
    cut = normalized_cut(blocks[None], EPS)
    assert seen == [torch.float32, torch.float64] and not cut.dense
    value, vector = second_eigenpair(np.where(blocks.numpy() > 0, 1.0, EPS))
    assert cut.eigenvalue.item() == pytest.approx(value, abs=1e-9)
    expected = torch.from_numpy(vector)
    torch.testing.assert_close(aligned(cut.eigenvector[0], expected), expected, rtol=0, atol=1e-8)


def test_lapack_takes_over_where_lanczos_does_not_converge(monkeypatch):
    monkeypatch.setattr(module, "SINGLE", replace(module.SINGLE, steps=2))
    monkeypatch.setattr(module, "DOUBLE", replace(module.DOUBLE, steps=2))
    tokens = clustered_tokens()
    cut = normalized_cut(similarity_edges(tokens[None], 0.2), EPS)
    value, vector = second_eigenpair(affinity(tokens.numpy(), 0.2, EPS))
    assert cut.dense.tolist() == [True]
    assert cut.eigenvalue.item() == pytest.approx(value, abs=1e-12)
    expected = torch.from_numpy(vector)
    torch.testing.assert_close(aligned(cut.eigenvector[0], expected), expected, rtol=0, atol=1e-9)


def test_a_batch_gives_what_each_image_gives():
    edges = torch.cat([similarity_edges(clustered_tokens(seed=i)[None], 0.2) for i in range(3)])
    together = normalized_cut(edges, EPS)
    for i in range(3):
        alone = normalized_cut(edges[i : i + 1], EPS)
        assert torch.equal(alone.eigenvector[0], together.eigenvector[i])
        assert torch.equal(alone.eigenvalue[0], together.eigenvalue[i])


def test_the_batched_solver_agrees_with_one_image_at_a_time(monkeypatch):
    """Run the solver for GPUs on the CPU."""
    edges = torch.cat([similarity_edges(clustered_tokens(seed=i)[None], 0.2) for i in range(3)])
    degree = EPS * 90 + (1 - EPS) * edges.sum(dim=2).double()
    vectors, values, errors = module._lanczos(edges, degree, EPS, module.SINGLE)
    assert (errors <= 1e-5).all()
    for i in range(3):
        alone = module._lanczos(edges[i : i + 1], degree[i : i + 1], EPS, module.SINGLE)
        torch.testing.assert_close(values[i], alone[1][0], rtol=0, atol=1e-6)
        torch.testing.assert_close(aligned(vectors[i], alone[0][0]), alone[0][0], rtol=0, atol=2e-5)


def test_the_eigenvector_has_length_one_in_the_degrees():
    edges = similarity_edges(clustered_tokens()[None], 0.2)
    degree = EPS * 90 + (1 - EPS) * edges.sum(dim=2).double()
    y = normalized_cut(edges, EPS).eigenvector
    assert (degree * y * y).sum().item() == pytest.approx(1, abs=1e-5)
    assert (degree * y).sum().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("patches", [1, 2, 3, 4])
def test_the_smallest_graphs(patches):
    cut = normalized_cut(torch.ones(1, patches, patches), EPS)
    assert cut.eigenvector.shape == (1, patches) and cut.eigenvector.isfinite().all()
