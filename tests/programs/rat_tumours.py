"""Rat tumours: a hierarchical binomial whose hyperprior is stated by its density (a Potential)."""

import numpy as np

TUMOURS = np.array(
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 5, 2, 5, 3,
     2, 7, 7, 3, 3, 2, 9, 10, 4, 4, 4, 4, 4, 4, 4, 10, 4, 4, 4, 5, 11, 12, 5, 5, 6, 5, 6, 6, 6, 6, 16, 15, 15, 9,
     4]
)  # fmt: skip
RATS = np.array(
    [20, 20, 20, 20, 20, 20, 20, 19, 19, 19, 19, 18, 18, 17, 20, 20, 20, 20, 19, 19, 18, 18, 25, 24, 23, 20, 20,
     20, 20, 20, 20, 10, 49, 19, 46, 27, 17, 49, 47, 20, 20, 13, 48, 50, 20, 20, 20, 20, 20, 20, 20, 48, 19, 19,
     19, 22, 46, 49, 20, 20, 23, 19, 22, 20, 20, 20, 52, 46, 47, 24, 14]
)  # fmt: skip


def build(pm):
    with pm.Model(coords={"experiment": np.arange(71), "param": ["alpha", "beta"]}) as model:
        ab = pm.HalfFlat("ab", dims="param", initval=np.array([2.0, 10.0]))
        pm.Potential("hyperprior", -2.5 * pm.math.log(pm.math.sum(ab)))
        pm.Deterministic("mean", ab[0] / pm.math.sum(ab))
        theta = pm.Beta("theta", alpha=ab[0], beta=ab[1], dims="experiment")
        pm.Binomial("tumours", p=theta, n=RATS, observed=TUMOURS, dims="experiment")
    return model, ["mean", "theta"]
