"""Item response: abilities and difficulties, of crossed dims."""

import numpy as np

rng = np.random.default_rng(47)
ABILITY, DIFFICULTY = rng.normal(size=20), np.linspace(-1.2, 1.2, 10)
RIGHT = rng.random((20, 10)) < 1 / (1 + np.exp(-(ABILITY[:, None] - DIFFICULTY)))


def build(pm):
    with pm.Model(coords={"pupil": np.arange(20), "item": list("abcdefghij")}) as model:
        ability = pm.Normal("ability", 0.0, 1.0, dims="pupil")
        spread = pm.HalfNormal("spread", 1.0)
        difficulty = pm.Normal("difficulty", 0.0, spread, dims="item")
        eta = ability[:, None] - difficulty[None, :]
        pm.Bernoulli("right", logit_p=eta, observed=RIGHT.astype(int), dims=("pupil", "item"))
    return model, ["ability", "difficulty", "spread"]
