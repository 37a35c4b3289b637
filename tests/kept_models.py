"""Models that are saved, and the numbers that tell whether they have come back; run as a program, tell them."""

import contextlib
import json
import sys
import warnings
from pathlib import Path

import jax
import numpy as np

import pyrox as px
from pyrox.handlers import seed, trace
from tests import models
from tests import own_functions as own

RNG = np.random.default_rng(0)


def growth_curves():
    """Functions of the user's, data, dates, starts, total_size, potentials, several outputs of one function."""
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-05"], dtype="datetime64[D]")
    with px.Model("curves", coords={"day": days, "plot": ["a", "b"]}) as model:
        t, plot = px.Data("t", [1.0, 2.0, 5.0], dims="day"), px.Data("plot_of_day", [0, 1, 0], dims="day")
        rate = px.HalfNormal("rate", 1.0, dims="plot", initval=[0.5, 0.6])
        mean = px.lift(own.growth)(t, rate[plot]) + own.saturation(t, rate[0]) + px.lift(own.square)(rate[1])
        px.Deterministic("mean", mean, dims="day")
        sine, more = px.lift(own.wave)(rate[0])
        px.Potential("phase", -(sine**2) + more["cosine"] + np.linalg.slogdet(np.eye(2) * rate[0])[1])
        shift = px.Normal("shift", 0.0, 1.0, transform=px.dist.transforms.AffineTransform(1.0, 2.0))
        px.CustomDist("jump", rate[1], 1.0, logp=own.laplace, random=own.draw_laplace, observed=[0.1, 0.2])
        px.Normal("y", np.log(mean), px.math.exp(shift), observed=[0.3, 0.5, 0.6], dims="day", total_size=30)
    return model


def mixtures():
    """Distributions inside distributions, ordered labels, a walk, and covariances."""
    with px.Model(coords={"row": np.arange(20), "cut": ["low", "high"]}) as model:
        w = px.Dirichlet("w", np.ones(2))
        mu = px.Normal("mu", 0.0, [1.0, 2.0], shape=2)
        parts = [px.Normal.dist(mu[0], 1.0), px.StudentT.dist(4.0, mu[1], 1.0)]
        px.Mixture("height", w, parts, observed=RNG.normal(size=20), dims="row")
        px.Censored("seen", px.Normal.dist(mu[0], 1.0), None, 2.0, observed=[2.0, 0.5])
        px.Truncated("wait", px.Exponential.dist(px.HalfNormal("rate", 1.0)), upper=5.0, observed=[1.0, 2.0])
        cuts = px.Normal("cuts", 0.0, 2.0, dims="cut", transform=px.dist.transforms.OrderedTransform(), initval=[-1, 1])
        px.OrderedLogistic("answer", mu[1] * RNG.normal(size=20), cuts, observed=RNG.integers(0, 3, 20), dims="row")
        px.GaussianRandomWalk("walk", 0.1, 0.5, init_dist=px.Normal.dist(mu[0], 1.0), dims="row")
        chol, *_ = px.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=px.Exponential.dist(1.0))
        px.MvNormal("pair", mu, chol=chol, observed=RNG.normal(size=(5, 2)))
    return model


MODELS = {
    "schools": models.eight_schools, "slopes": models.varying_slopes, "logistic": models.logistic,
    "curves": growth_curves, "mixtures": mixtures,
}  # fmt: skip


def numbers(model, *, predictive=True):
    """What a model computes: a start, the log-density there, one draw of the prior, and its predictive."""
    density = px.model.LogDensity.build(model)
    position = density.initial_position(jax.random.key(3), density.data)
    told = {"start": position, "log density": jax.jit(density)(position, density.data)}
    with contextlib.suppress(NotImplementedError):  # improper priors have no draws
        told |= {n: msg["value"] for n, msg in trace(seed(model, 4)).get_trace().items()}
    if predictive:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of potentials, which have no part in it
            drawn = px.sample_prior_predictive(3, model=model, random_seed=4)
        groups = [group for group in ("prior", "prior_predictive") if group in drawn]
        told |= {f"{group} {n}": x.values for group in groups for n, x in drawn[group].data_vars.items()}
    return {"model": repr(model), **{name: np.asarray(value).tolist() for name, value in told.items()}}


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).iterdir())
    print(json.dumps({f.name: numbers(px.load(f).model, predictive=f.name in MODELS) for f in files}))
