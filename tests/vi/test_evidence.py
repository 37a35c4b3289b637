"""Weights of a guide's draws have the evidence as their mean, whatever the guide's parameters.

.. math:: E_{q(z)}[p(x, z) / q(z)] = p(x)
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyrox.dist as dist
from pyrox import vi
from pyrox.model.primitives import sample
from pyrox.vi import ELBO
from tests.checks import assert_mean

Y = np.array([0.4, -0.9])
DRAWS = 4000


def model(y):
    z = sample("z", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    sample("y", dist.Normal(z, 1.5).to_event(1), obs=y)


# Wide guides: their weights are bounded, so that means are what they seem.
GUIDES = {
    "AutoDiagonalNormal": {"init_scale": 1.2}, "AutoMultivariateNormal": {"init_scale": 1.2},
    "AutoLowRankMultivariateNormal": {"init_scale": 1.2, "rank": 1},
    "AutoIAFNormal": {"hidden_dims": [4], "num_flows": 1, "init_scale": 1.2}, "AutoBNAF": {},
    "AutoDAIS": {"K": 6, "eta_init": 0.6, "gamma_init": 0.5, "init_scale": 1.2},
}  # fmt: skip


@pytest.mark.parametrize("name", GUIDES)
def test_weights_have_the_evidence_as_their_mean(name):
    guide = getattr(vi, name)(model, **GUIDES[name])
    svi = vi.SVI(model, guide, vi.optim.Adam(0.01), ELBO())
    params = svi.get_params(svi.init(jax.random.key(0), Y))
    if name == "AutoBNAF":  # narrow from the start on
        params = {**params, "auto_scale": jnp.full(2, 1.5)}
    objective = ELBO(analytic_kl=False)
    log_weight = jax.jit(jax.vmap(lambda key: -objective.loss(key, params, model, guide, Y)))
    weights = np.exp(log_weight(jax.random.split(jax.random.key(1), DRAWS)))
    assert weights.std() > 0.01 * weights.mean()
    assert_mean(weights, np.prod(stats.norm(0.0, np.sqrt(1 + 1.5**2)).pdf(Y)))
