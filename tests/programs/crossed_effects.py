"""Reaction times: subjects and items as crossed groups, a slope by subject, labels as coords."""

import numpy as np

rng = np.random.default_rng(8)
SUBJECT, ITEM = (x.ravel() for x in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
HARD = rng.integers(0, 2, 96)
LOG_TIME = (
    6.0 + 0.2 * HARD + rng.normal(0, 0.15, 12)[SUBJECT] + rng.normal(0, 0.1, 8)[ITEM] + rng.normal(0, 0.12, 96)
    + rng.normal(0, 0.08, 12)[SUBJECT] * HARD
)  # fmt: skip


def build(pm):
    coords = {
        "subject": [f"s{i}" for i in range(12)], "item": [f"i{i}" for i in range(8)],
        "effect": ["intercept", "hard"], "trial": range(96),
    }  # fmt: skip
    with pm.Model(coords=coords) as model:
        beta = pm.Normal("beta", mu=[6.0, 0.0], sigma=[1.0, 0.5], dims="effect")
        sd_subject = pm.Exponential("sd_subject", 5.0, dims="effect")
        sd_item = pm.Exponential("sd_item", 5.0)
        z = pm.Normal("z", 0, 1, dims=("subject", "effect"))
        u = pm.Deterministic("u", z * sd_subject, dims=("subject", "effect"))
        v = pm.Normal("v", 0, 1, dims="item") * sd_item
        design = np.stack([np.ones(96), HARD], axis=1)
        mu = pm.math.dot(design, beta) + (u[SUBJECT] * design).sum(axis=1) + v[ITEM]
        pm.Normal("log_time", mu, pm.HalfNormal("sigma", 0.5), observed=LOG_TIME, dims="trial")
    return model, ["beta", "sd_subject", "sd_item", "u", "sigma"]
