"""A multivariate normal with unknown covariance, from its Cholesky factor."""

import numpy as np

rng = np.random.default_rng(4)
COV = np.array([[1.0, 0.6, 0.1], [0.6, 2.0, -0.5], [0.1, -0.5, 0.8]])
ROWS = rng.multivariate_normal([1.0, -2.0, 0.5], COV, size=60)


def build(pm):
    with pm.Model(coords={"trait": ["height", "weight", "age"], "row": np.arange(60)}) as model:
        chol, _, _ = pm.LKJCholeskyCov(
            "chol", n=3, eta=2.0, sd_dist=pm.Exponential.dist(1.0, shape=3), compute_corr=True
        )
        mu = pm.Normal("mu", 0.0, 2.0, dims="trait")
        pm.Deterministic("cov", pm.math.matmul(chol, chol.T))
        pm.MvNormal("rows", mu=mu, chol=chol, observed=ROWS, dims=("row", "trait"))
    return model, ["mu", "cov", "chol_stds", "chol_corr"]
