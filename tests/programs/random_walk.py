"""A trend that is a Gaussian random walk, seen through counts."""

import numpy as np

rng = np.random.default_rng(9)
WEEKS = 40
CALLS = rng.poisson(np.exp(2.0 + np.cumsum(rng.normal(0, 0.15, WEEKS))))


def build(pm):
    with pm.Model(coords={"week": np.arange(WEEKS)}) as model:
        step = pm.Exponential("step", lam=5.0)
        trend = pm.GaussianRandomWalk(
            "trend", mu=0.0, sigma=step, init_dist=pm.Normal.dist(2.0, 1.0), dims="week",
            initval=np.full(WEEKS, 2.0),
        )  # fmt: skip
        pm.Poisson("calls", mu=pm.math.exp(trend), observed=CALLS, dims="week")
    return model, ["step", "trend"]
