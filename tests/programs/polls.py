"""Polls by several institutes: Dirichlet-multinomial counts around shared shares."""

import numpy as np

rng = np.random.default_rng(14)
ASKED = np.array([500, 800, 650, 1000, 400])
VOTES = np.stack([rng.multinomial(n, rng.dirichlet(60 * np.array([0.4, 0.35, 0.25]))) for n in ASKED])


def build(pm):
    with pm.Model(coords={"party": ["a", "b", "c"], "poll": range(5)}) as model:
        share = pm.Dirichlet("share", a=np.ones(3), dims="party")
        concentration = pm.LogNormal("concentration", mu=4, sigma=1)
        pm.DirichletMultinomial("votes", n=ASKED, a=share * concentration, observed=VOTES, dims=("poll", "party"))
    return model, ["share", "concentration"]
