"""A smooth curve: a basis of bumps whose weights are a random walk, by a matrix product."""

import numpy as np

rng = np.random.default_rng(37)
X = np.linspace(0, 1, 70)
KNOTS = np.linspace(0, 1, 9)
BASIS = np.exp(-0.5 * ((X[:, None] - KNOTS) / 0.12) ** 2)
BASIS /= BASIS.sum(axis=1, keepdims=True)
SAMPLING = {"target_accept": 0.95}
Y = np.sin(6 * X) + 0.5 * X + rng.normal(0, 0.2, 70)


def build(pm):
    with pm.Model(coords={"obs": np.arange(70)}) as model:
        model.add_coords({"basis": np.arange(9)})
        intercept = pm.Normal("intercept", 0, 1)
        tau = pm.Gamma("tau", alpha=6, beta=6)
        raw = pm.Normal("raw", 0, 1, dims="basis")
        weights = pm.Deterministic("weights", tau * pm.math.cumsum(raw), dims="basis")
        curve = pm.Deterministic("curve", intercept + pm.math.dot(BASIS, weights), dims="obs")
        sigma = pm.HalfStudentT("sigma", nu=4, sigma=0.5)
        pm.Normal("y", mu=curve, sigma=sigma, observed=Y, dims="obs")
    return model, ["curve", "sigma", "tau"]
