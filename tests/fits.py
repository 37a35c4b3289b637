"""Models, and results of fits of which all is known: the draws are given."""

import numpy as np

import pyrox as px
from pyrox import results
from pyrox.forecast import Runnable

QUIET = {"progressbar": False, "random_seed": 1}
NAMES = ["a", "b", "c", "d"]


def known_draws(model, values, coords=None, constant=None):
    """Results of a fit of which all is known: the draws are given."""
    runnable = Runnable(model)
    groups = {"posterior": {name: np.asarray(x) for name, x in values.items()}}
    groups["constant_data"] = {data.name: data.value for data in model.data_vars} | (constant or {})
    groups["observed_data"] = runnable.known_values()[0]
    return results.build(
        groups, dims=runnable.dims, coords={**model.coords, **(coords or {})}, attrs=runnable.attrs
    )


def hierarchy(*, centred=True, labels=NAMES, rows=8):
    with px.Model(coords={"group": labels}) as model:
        group = px.Data("group_idx", np.arange(rows) % len(labels), dims="row")
        mu, tau = px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 2.0)
        if centred:
            theta = px.Normal("theta", mu, tau, dims="group")
        else:
            z = px.Normal("z", 0.0, 1.0, dims="group")
            theta = px.Deterministic("theta", mu + tau * z, dims="group")
        px.Normal("y", theta[group], 0.5, observed=np.zeros(rows), dims="row")
    return model


def draw_hierarchy(count=2000, groups=4, seed=0, *, name="theta"):
    rng = np.random.default_rng(seed)
    mu, tau = rng.normal(1.0, 0.3, (2, count)), rng.gamma(20.0, 0.1, (2, count))
    return {"mu": mu, "tau": tau, name: rng.normal(3.0, 1.0, (2, count, groups))}


def regression(x, y, **options):
    with px.Model(**options) as model:
        predictor = px.Data("x", x)
        slope = px.Normal("slope")
        px.Normal("y", slope * predictor, 1.0, observed=y)
    return model
