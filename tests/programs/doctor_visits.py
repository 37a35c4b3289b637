"""Visits to the doctor: a hurdle model of whether and how often."""

import numpy as np

rng = np.random.default_rng(31)
ILL = rng.normal(size=150)
GOES = rng.random(150) < 1 / (1 + np.exp(-(0.2 + 0.8 * ILL)))
_MEAN = np.exp(0.6 + 0.3 * ILL)
VISITS = np.where(GOES, np.maximum(1, rng.poisson(_MEAN)), 0)


def build(pm):
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=2)
        b = pm.Normal("b", 0, 1, shape=2)
        psi = pm.math.sigmoid(a[0] + b[0] * ILL)
        mu = pm.math.exp(pm.math.clip(a[1] + b[1] * ILL, -10, 10))
        pm.HurdlePoisson("visits", psi=psi, mu=mu, observed=VISITS)
    return model, ["a", "b"]
