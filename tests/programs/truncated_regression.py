"""A regression that sees only outcomes inside bounds: truncated normal."""

import numpy as np

rng = np.random.default_rng(23)
_X = rng.uniform(-2, 2, 400)
_Y = 0.5 + 1.2 * _X + rng.normal(0, 0.9, 400)
SEEN = (_Y > -1.0) & (_Y < 2.0)
X, Y = _X[SEEN], _Y[SEEN]


def build(pm):
    with pm.Model() as model:
        intercept = pm.Normal("intercept", mu=0, sigma=1)
        slope = pm.Normal("slope", mu=0, sigma=1)
        sigma = pm.HalfNormal("sigma", sigma=1)
        latent = pm.Normal.dist(mu=intercept + slope * X, sigma=sigma)
        pm.Truncated("y", latent, lower=-1.0, upper=2.0, observed=Y)
    return model, ["intercept", "slope", "sigma"]
