"""A regression on a predictor measured with error, which is a variable of the model."""

import numpy as np

rng = np.random.default_rng(41)
TRUE = rng.normal(1.0, 1.0, 50)
MEASURED = TRUE + rng.normal(0, 0.2, 50)
Y = 0.5 + 1.5 * TRUE + rng.normal(0, 0.5, 50)


def build(pm):
    with pm.Model(coords={"unit": np.arange(50)}) as model:
        mu_x = pm.Normal("mu_x", 0, 2)
        sigma_x = pm.HalfNormal("sigma_x", 2)
        x = pm.Normal("x", mu_x, sigma_x, dims="unit", initval=MEASURED)
        pm.Normal("measured", mu=x, sigma=0.2, observed=MEASURED, dims="unit")
        slope, intercept = pm.Normal("slope", 0, 2), pm.Normal("intercept", 0, 2)
        sigma = pm.LogNormal("sigma", -0.7, 0.3)
        pm.Normal("y", intercept + slope * x, sigma, observed=Y, dims="unit")
    return model, ["slope", "intercept", "sigma", "x"]
