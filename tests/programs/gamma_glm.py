"""Insurance claims: a gamma regression with a log link, by mean and standard deviation."""

import numpy as np

rng = np.random.default_rng(21)
AGE, REGION = rng.uniform(20, 70, 80), rng.integers(0, 3, 80)
AGE_Z = (AGE - AGE.mean()) / AGE.std()
RATE = np.exp(1.0 - 0.3 * AGE_Z + np.array([0.0, 0.4, -0.2])[REGION])
CLAIM = rng.gamma(3.0, RATE / 3.0)


def build(pm):
    with pm.Model(coords={"region": ["north", "mid", "south"]}) as model:
        age = pm.Normal("age", 0.0, 1.0)
        level = pm.Normal("level", 0.0, 2.0, dims="region")
        shape = pm.LogNormal("shape", 1.0, 0.7)
        mean = pm.math.exp(level[REGION] + age * AGE_Z)
        pm.Gamma("claim", mu=mean, sigma=mean / pm.math.sqrt(shape), observed=CLAIM)
    return model, ["age", "level", "shape"]
