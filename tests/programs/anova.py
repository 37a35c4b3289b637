"""Analysis of variance: two crossed factors and their interaction, each summing to zero."""

import numpy as np

rng = np.random.default_rng(3)
DIETS, DOSES = ["wheat", "oat", "rye"], ["low", "mid", "high", "top"]
DIET, DOSE = np.repeat(np.arange(3), 24), np.tile(np.arange(4), 18)
GAIN = 5.0 + np.array([-0.8, 0.1, 0.7])[DIET] + np.array([-1.0, -0.2, 0.4, 0.8])[DOSE] + rng.normal(0, 0.6, 72)


def build(pm):
    with pm.Model(coords={"diet": DIETS, "dose": DOSES, "animal": np.arange(72)}) as model:
        diet = pm.Data("diet_index", DIET, dims="animal")
        dose = pm.Data("dose_index", DOSE, dims="animal")
        mean = pm.Normal("mean", mu=5, sigma=5)
        sd = pm.HalfNormal("sd", 1, shape=2)
        by_diet = pm.ZeroSumNormal("by_diet", sigma=sd[0], dims="diet")
        by_dose = pm.ZeroSumNormal("by_dose", sigma=sd[1], dims="dose")
        both = pm.ZeroSumNormal("both", sigma=0.5, dims=("diet", "dose"), n_zerosum_axes=2)
        mu = mean + by_diet[diet] + by_dose[dose] + both[diet, dose]
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("gain", mu=mu, sigma=sigma, observed=GAIN, dims="animal")
    return model, ["mean", "by_diet", "by_dose", "both", "sigma"]
