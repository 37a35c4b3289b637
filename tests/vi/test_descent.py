"""The optimizer and the normal approximations along its path, against the matrices that they avoid."""

import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.vi.lbfgs import MEMORY, Descent, Path, direction
from pyrox.vi.pathfinder import approximations, inverse_hessian, next_diagonal

DIM = 5


def curvature(rng, pairs, dim=DIM):
    """Steps, and the changes of the gradient of a quadratic function along them; also its matrix."""
    root = rng.normal(size=(dim, dim))
    matrix = root @ root.T + np.eye(dim)
    steps = rng.normal(size=(pairs, dim))
    return steps, steps @ matrix, matrix


def updated(inverse, step, change):
    """Update an inverse Hessian by a pair, as BFGS defines it."""
    rho = 1 / (step @ change)
    left = np.eye(len(step)) - rho * np.outer(step, change)
    return left @ inverse @ left.T + rho * np.outer(step, step)


@pytest.mark.parametrize("pairs", [1, 3, MEMORY])
def test_the_direction_is_that_of_the_bfgs_matrix(pairs):
    rng = np.random.default_rng(pairs)
    steps, changes, _ = curvature(rng, pairs)
    gradient = rng.normal(size=DIM)
    inverse = np.eye(DIM) * (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for step, change in zip(steps, changes, strict=True):
        inverse = updated(inverse, step, change)
    blank = np.zeros((MEMORY - pairs, DIM))
    at = Descent(
        jnp.zeros(DIM), jnp.zeros(()), jnp.asarray(gradient), jnp.asarray(np.concatenate([blank, steps])),
        jnp.asarray(np.concatenate([blank, changes])), jnp.zeros((), int), jnp.zeros((), bool),
    )  # fmt: skip
    np.testing.assert_allclose(direction(at), -inverse @ gradient, rtol=1e-10)


def test_the_descent_is_as_fast_as_quasi_newton():
    """A badly scaled valley takes gradient descent tens of thousands of steps."""
    scales = jnp.asarray(10.0 ** np.linspace(0, 4, 8))
    path = Path(lambda x, _: 0.5 * jnp.sum(scales * (x - 1) ** 2), np.zeros(8), jnp.zeros(0), 500)
    while path.done < path.total:
        path.advance(64)
    positions, _, values = path.trajectory()
    assert path.converged
    assert len(positions) < 200
    assert np.all(np.diff(values) <= 0)
    np.testing.assert_allclose(positions[-1], 1.0, atol=1e-4)


@pytest.mark.parametrize("pairs", [0, 1, 3])
def test_an_approximation_is_that_of_the_bfgs_matrix(pairs):
    rng = np.random.default_rng(pairs)
    steps, changes, _ = curvature(rng, pairs)
    position, gradient, alpha = rng.normal(size=DIM), rng.normal(size=DIM), rng.uniform(0.5, 2.0, DIM)
    inverse = np.diag(alpha)
    for step, change in zip(steps, changes, strict=True):
        inverse = updated(inverse, step, change)
    found = inverse_hessian(position, gradient, alpha, steps, changes)
    root = found.factor()
    np.testing.assert_allclose(root @ root.T, inverse, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.variance(), np.diag(inverse), rtol=1e-8)
    np.testing.assert_allclose(found.mean, position - inverse @ gradient, rtol=1e-8)


def test_draws_come_with_their_density():
    rng = np.random.default_rng(0)
    steps, changes, _ = curvature(rng, 2)
    found = inverse_hessian(np.ones(DIM), rng.normal(size=DIM), np.ones(DIM), steps, changes)
    root = found.factor()
    draws, log_q = found.draw(rng, 50)
    white = np.linalg.solve(root, (draws - found.mean).T)
    expected = -0.5 * np.sum(white**2, axis=0) - np.linalg.slogdet(root)[1] - 0.5 * DIM * np.log(2 * np.pi)
    np.testing.assert_allclose(log_q, expected, rtol=1e-8)


def test_the_diagonal_is_a_quotient_in_one_dimension():
    rng = np.random.default_rng(1)
    alpha, step = rng.uniform(0.5, 2.0, DIM), rng.normal(size=DIM)
    change = step * rng.uniform(0.5, 3.0, DIM)
    assert np.all(next_diagonal(alpha, step, change) > 0)
    np.testing.assert_allclose(next_diagonal(alpha[:1], step[:1], change[:1]), step[:1] / change[:1])


def test_curves_the_wrong_way_are_left_out():
    positions = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    upwards = np.array([[0.0, 0.0], [-1.0, 0.0], [-1.0, -1.0]])
    assert approximations(positions, upwards) == []
    assert len(approximations(positions, -upwards)) == 2
