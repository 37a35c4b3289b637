"""Guides made from a model: each fits, draws in the supports, and says the same in every way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox.dist as dist
from pyrox import vi
from pyrox.model import Predictive
from pyrox.model.primitives import sample
from pyrox.vi import ELBO, SVI, AutoContinuousELBO, optim

Y = np.array([0.3, 1.2, -0.4, 2.0])


def model(y=None):
    mu = sample("mu", dist.Normal(0.0, 2.0))
    scale = sample("scale", dist.LogNormal(0.0, 0.3).expand((2,)).to_event(1))
    sample("y", dist.Normal(mu, scale.sum()).expand((4,)), obs=y)


CONTINUOUS = {
    "AutoDiagonalNormal": {}, "AutoNormal": {}, "AutoMultivariateNormal": {},
    "AutoLowRankMultivariateNormal": {"rank": 1},
    "AutoIAFNormal": {"hidden_dims": [6], "skip_connections": True}, "AutoBNAF": {}, "AutoDAIS": {"K": 2},
    "AutoLaplaceApproximation": {},
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_fits_and_draws(name):
    guide = getattr(vi, name)(model, **CONTINUOUS[name])
    svi = SVI(model, guide, optim.Adam(0.02), AutoContinuousELBO())
    result = svi.run(jax.random.key(0), 800, Y, progress_bar=False, early_stopping=False)
    assert result.losses[-100:].mean() < result.losses[:20].mean()
    draws = guide.sample_posterior(jax.random.key(1), result.params, (5, 3))
    assert {n: x.shape for n, x in draws.items()} == {"mu": (5, 3), "scale": (5, 3, 2)}
    assert bool(jnp.all(draws["scale"] > 0))
    low, middle, high = guide.quantiles(result.params, [0.1, 0.5, 0.9])["mu"]
    assert low < middle < high
    np.testing.assert_allclose(guide.median(result.params)["mu"], middle)
    if name != "AutoDAIS":
        noise = jnp.zeros((7, guide.latent_dim))
        assert guide.get_transform(result.params)(noise).shape == (7, 3)
        assert guide.base_dist.event_shape == (3,)


def test_transform_makes_the_posterior():
    guide = vi.AutoMultivariateNormal(model)
    guide.setup(jax.random.key(0), (Y,))
    tril = jnp.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [0.1, -0.3, 0.7]])
    params = {"auto_loc": jnp.array([1.0, -1.0, 0.5]), "auto_scale_tril": tril}
    noise = jax.random.normal(jax.random.key(1), (3,))
    np.testing.assert_allclose(guide.get_transform(params)(noise), params["auto_loc"] + tril @ noise)
    with pytest.raises(ValueError, match="between 0 and 1"):
        guide.quantiles(params, [1.5])


def test_guide_in_predictive():
    guide = vi.AutoNormal(model)
    params = SVI(model, guide, optim.Adam(0.05), ELBO()).run(jax.random.key(0), 200, Y, progress_bar=False).params
    assert Predictive(model, guide=guide, params=params, num_samples=6)(jax.random.key(1))["y"].shape == (6, 4)


def test_params_of_another_guide():
    guide = vi.AutoDiagonalNormal(model, prefix="mine")
    with pytest.raises(vi.svi.ModelError, match=r"svi\.init first"):
        guide.median({})
    guide.setup(jax.random.key(0), (Y,))
    with pytest.raises(vi.svi.ModelError, match="begin with 'mine'"):
        guide.median({"auto_loc": 0.0})
