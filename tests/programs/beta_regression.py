"""Shares between 0 and 1: beta regression by mean and concentration."""

import numpy as np

rng = np.random.default_rng(11)
X = np.linspace(-1.5, 1.5, 60)
MEAN = 1 / (1 + np.exp(-(0.3 + 0.9 * X)))
SHARE = rng.beta(MEAN * 12, (1 - MEAN) * 12)


def build(pm):
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1.5)
        slope = pm.Normal("slope", 0, 1)
        mu = pm.Deterministic("mu", pm.math.invlogit(intercept + slope * X))
        nu = pm.Gamma("nu", alpha=2, beta=0.1, initval=10.0)
        pm.Beta("share", mu=mu, nu=nu, observed=SHARE)
    return model, ["intercept", "slope", "mu", "nu"]
