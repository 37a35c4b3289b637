"""Evaluate every distribution of the table in the precision that the environment sets, and save what comes out."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import DISTRIBUTIONS, QUANTILES


def points(case) -> np.ndarray:
    """Give a case's points, as float32 knows them: within its range, without the tails where those are quantiles."""
    if case.points is None:
        inner = QUANTILES[QUANTILES > 1e-4]
        found = np.unique(np.concatenate([case.oracle.ppf(inner), case.oracle.isf(inner)]))
    else:
        found = np.asarray(case.points)
    if case.d.is_discrete:
        return found.astype(np.int32)
    inside = np.abs(found) < np.finfo(np.float32).max
    representable = found[inside.reshape(len(found), -1).all(axis=1)]
    return representable.astype(np.float32).astype(float)


def evaluate(case) -> dict[str, np.ndarray]:
    """Give log-densities, their gradients, and the log-densities of draws: all by one compilation."""

    def everything(d, x, key):
        slopes = jax.value_and_grad(lambda d, x: d.log_prob(x), argnums=(0, 1), allow_int=True)
        value, gradients = jax.vmap(slopes, in_axes=(None, 0))(d, x)
        smooth = [g for g in jax.tree.leaves(gradients) if g.dtype != jax.dtypes.float0]
        drawn = d.log_prob(d.sample(key, (200,))) if case.proper else jnp.zeros(())
        return value, smooth, drawn

    value, smooth, drawn = jax.jit(everything)(case.d, jnp.asarray(points(case)), jax.random.key(1))
    slopes = [np.isfinite(g).reshape(len(value), -1).all(axis=1) for g in smooth]
    finite = np.all(slopes, axis=0) if slopes else np.ones(len(value), bool)
    return {"log_prob": np.asarray(value), "slopes are finite": finite, "drawn": np.asarray(drawn)}


if __name__ == "__main__":
    results = {f"{case.name}/{name}": v for case in DISTRIBUTIONS for name, v in evaluate(case).items()}
    np.savez(sys.argv[1], **results)
