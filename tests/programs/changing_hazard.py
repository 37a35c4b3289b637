"""Times to failure with a Weibull hazard; those still running contribute their survival, by a Potential."""

import numpy as np

rng = np.random.default_rng(53)
LOAD = rng.uniform(-1, 1, 90)
_TIME = np.exp(1.0 - 0.5 * LOAD) * rng.weibull(1.6, 90)
FAILED = _TIME < 4.0
TIME = np.minimum(_TIME, 4.0)


def build(pm):
    with pm.Model() as model:
        shape = pm.Gamma("shape", 4, 2)
        intercept = pm.Normal("intercept", 0.0, 2.0)
        slope = pm.Normal("slope", 0.0, 1.0)
        scale = pm.math.exp(intercept + slope * LOAD)
        pm.Weibull("failed", alpha=shape, beta=scale[FAILED], observed=TIME[FAILED])
        pm.Potential("running", -((TIME[~FAILED] / scale[~FAILED]) ** shape))
    return model, ["shape", "intercept", "slope"]
