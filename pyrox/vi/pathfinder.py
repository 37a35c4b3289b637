"""Pathfinder: normal approximations along the path of an optimizer, the best one kept; several paths, weighed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyrox.vi.lbfgs import MEMORY

LogDensities = Callable[[np.ndarray], np.ndarray]  # positions (draw, dim) -> (draw,)
_LOG_2PI = np.log(2 * np.pi)


class Factored(NamedTuple):
    r"""A normal distribution with covariance :math:`D^{1/2} (I + Q (M - I) Q^T) D^{1/2}`, M of few rows.

    Attributes
    ----------
    mean
        Mean, of shape ``(dim,)``.
    scale
        Roots of D.
    basis
        Q, orthonormal columns.
    tril
        Cholesky factor of M.
    """

    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    tril: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions; also give their log-densities."""
        noise = rng.standard_normal((count, self.mean.size))
        log_det = np.sum(np.log(self.scale)) + np.sum(np.log(np.diag(self.tril)))
        log_q = -0.5 * np.sum(noise**2, axis=1) - log_det - 0.5 * self.mean.size * _LOG_2PI
        return self.mean + self.stretch(noise), log_q

    def stretch(self, noise: np.ndarray) -> np.ndarray:
        """Map standard normal rows."""
        inside = noise @ self.basis
        return self.scale * (noise + (inside @ (self.tril.T - np.eye(len(self.tril)))) @ self.basis.T)

    def variance(self) -> np.ndarray:
        """Give the variance of each element."""
        return np.sum(self.stretch(np.eye(self.mean.size)) ** 2, axis=0)

    def factor(self) -> np.ndarray:
        """Give a matrix A with covariance A A^T."""
        return self.stretch(np.eye(self.mean.size)).T


def next_diagonal(alpha: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Update the diagonal estimate of the inverse Hessian by one step of the path."""
    a, b, c = np.sum(change * alpha * change), np.dot(change, step), np.sum(step**2 / alpha)
    return 1 / (a / (b * alpha) + change**2 / b - a * step**2 / (b * c * alpha**2))


def inverse_hessian(
    position: np.ndarray, gradient: np.ndarray, alpha: np.ndarray, steps: np.ndarray, changes: np.ndarray
) -> Factored | None:
    """Make the normal approximation at a point of the path; None where rounding leaves no positive definite one.

    Parameters
    ----------
    position, gradient
        The point, and the gradient of the negative log-density there.
    alpha
        Diagonal estimate of the inverse Hessian.
    steps, changes
        Changes of position and of gradient, one a row.
    """
    S, Y = steps.T, changes.T
    m, root = len(steps), np.sqrt(alpha)
    upper = np.triu(S.T @ Y)
    inverse = np.linalg.solve(upper, np.eye(m)) if m else np.zeros((0, 0))
    corner = inverse.T @ (np.diag(np.diag(upper)) + Y.T @ (alpha[:, None] * Y)) @ inverse
    gamma = np.block([[np.zeros((m, m)), -inverse], [-inverse.T, corner]])
    basis, R = np.linalg.qr(np.concatenate([root[:, None] * Y, S / root[:, None]], axis=1))
    inner = np.eye(len(R)) + R @ gamma @ R.T
    try:
        tril = np.linalg.cholesky(0.5 * (inner + inner.T))
    except np.linalg.LinAlgError:
        return None
    found = Factored(position, root, basis, tril)
    # One Newton step from here leads to the mean.
    down = root * gradient
    newton = root * (down + basis @ ((tril @ tril.T - np.eye(len(tril))) @ (basis.T @ down)))
    return found._replace(mean=position - newton)


def approximations(positions: np.ndarray, gradients: np.ndarray) -> list[Factored]:
    """Make the normal approximations along a path, wherever its last steps are curved the right way."""
    alpha = np.ones(positions.shape[1])
    steps: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    found = []
    for i in range(1, len(positions)):
        step, change = positions[i] - positions[i - 1], gradients[i] - gradients[i - 1]
        inner = np.dot(step, change)
        if inner > 1e-12 * np.dot(change, change):
            scale = np.dot(change, change) / inner if not steps else None
            alpha = np.full_like(alpha, 1 / scale) if scale is not None else alpha
            alpha = next_diagonal(alpha, step, change)
            steps, changes = [*steps, step][-MEMORY:], [*changes, change][-MEMORY:]
        if steps and np.all(np.isfinite(alpha) & (alpha > 0)):
            made = inverse_hessian(positions[i], gradients[i], alpha, np.stack(steps), np.stack(changes))
            if made is not None and np.all(np.isfinite(made.mean)):
                found.append(made)
    return found


class Found(NamedTuple):
    """The best normal approximation of a path.

    Attributes
    ----------
    normal
        The distribution.
    elbo
        Its evidence lower bound, estimated.
    """

    normal: Factored
    elbo: float


def pathfinder(
    positions: np.ndarray,
    gradients: np.ndarray,
    log_densities: LogDensities,
    rng: np.random.Generator,
    num_draws: int = 10,
) -> Found | None:
    r"""Choose, among the normal approximations along a path, that of the highest lower bound.

    .. math:: \hat l = \arg\max_l \; E_{q_l}[\log p(u) - \log q_l(u)]

    Parameters
    ----------
    positions, gradients
        The path, of shape ``(point, dim)``, and the gradients of the negative log-density.
    log_densities
        Gives the log-densities of many positions.
    rng
        Random numbers.
    num_draws
        Number of draws of each estimate.

    Returns
    -------
    The best one; None if there is none.

    References
    ----------
    .. [1] Zhang, Carpenter, Gelman and Vehtari (2022), Pathfinder: Parallel quasi-Newton variational inference.
    """
    candidates = approximations(positions, gradients)
    if not candidates:
        return None
    drawn = [c.draw(rng, num_draws) for c in candidates]
    log_p = log_densities(np.concatenate([x for x, _ in drawn])).reshape(len(candidates), num_draws)
    log_p = np.where(np.isnan(log_p), -np.inf, log_p)
    elbo = np.mean(log_p - np.stack([log_q for _, log_q in drawn]), axis=1)
    best = int(np.argmax(elbo))
    return Found(candidates[best], float(elbo[best])) if np.isfinite(elbo[best]) else None


def draw_pool(
    found: list[Found], log_densities: LogDensities, rng: np.random.Generator, per_path: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from several paths; give the positions, and the logs of their importance ratios."""
    drawn = [f.normal.draw(rng, per_path) for f in found]
    positions = np.concatenate([x for x, _ in drawn])
    log_q = np.concatenate([log_q for _, log_q in drawn])
    with np.errstate(invalid="ignore"):
        return positions, log_densities(positions) - log_q
