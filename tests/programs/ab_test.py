"""An A/B test: Beta-Binomial, with lift and the probability that B is better."""

import numpy as np

VISITORS, SALES = np.array([1200, 1150]), np.array([96, 124])


def build(pm):
    with pm.Model(coords={"variant": ["A", "B"]}) as model:
        p = pm.Beta("p", alpha=2, beta=20, dims="variant")
        pm.Deterministic("lift", p[1] / p[0] - 1)
        pm.Deterministic("better", pm.math.switch(p[1] > p[0], 1.0, 0.0))
        pm.Binomial("sales", n=VISITORS, p=p, observed=SALES, dims="variant")
    return model, ["p", "lift"]
