"""An autoregressive series with a constant, its first value from a distribution of its own."""

import numpy as np

rng = np.random.default_rng(5)
SERIES = np.zeros(120)
SERIES[0] = 2.0
for _t in range(1, 120):
    SERIES[_t] = 0.8 + 0.6 * SERIES[_t - 1] + rng.normal(0, 0.5)


def build(pm):
    with pm.Model() as model:
        constant = pm.Normal("constant", 0.0, 2.0)
        rho = pm.Uniform("rho", -1.0, 1.0)
        sigma = pm.HalfNormal("sigma", 1.0)
        pm.AR(
            "series", rho=pm.math.stack([constant, rho]), sigma=sigma, constant=True, init_dist=pm.Normal.dist(0, 5),
            ar_order=1, observed=SERIES,
        )  # fmt: skip
        pm.Deterministic("long_run", constant / (1 - rho))
    return model, ["constant", "rho", "sigma"]
