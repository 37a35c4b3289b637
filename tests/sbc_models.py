"""Small models of different kinds, for simulation-based calibration; their data only tell shapes."""

import numpy as np

import pyrox as px

ZEROS = np.zeros(12)


def hierarchy():
    """Groups that are not centred."""
    group = np.arange(12) % 4
    with px.Model(coords={"group": list("abcd")}) as model:
        mu, tau = px.Normal("mu", 0.0, 1.0), px.HalfNormal("tau", 1.0)
        theta = px.Normal("theta", mu, tau, dims="group", noncentered=True)
        px.Normal("y", theta[group], 0.7, observed=ZEROS)
    return model


def logistic():
    x = np.random.default_rng(1).normal(size=(20, 2))
    with px.Model() as model:
        intercept, slopes = px.Normal("intercept"), px.Normal("slopes", 0.0, 1.0, shape=2)
        px.Bernoulli("y", logit_p=intercept + px.Data("x", x) @ slopes, observed=np.zeros(20, int))
    return model


def counts():
    """Overdispersed counts with exposures."""
    exposure = np.linspace(1.0, 6.0, 12)
    with px.Model() as model:
        rate, alpha = px.Gamma("rate", 3.0, 2.0), px.LogNormal("alpha", 1.0, 0.7)
        px.NegativeBinomial("y", mu=rate * exposure, alpha=alpha, observed=np.zeros(12, int))
    return model


def zeros():
    """Counts with too many zeros; draws of a deterministic value are ranked too."""
    with px.Model() as model:
        psi, mu = px.Beta("psi", 2.0, 2.0), px.Exponential("mu", 0.3)
        px.Deterministic("mean", psi * mu)
        px.ZeroInflatedPoisson("y", psi, mu, observed=np.zeros(15, int))
    return model


def ordinal():
    """Ordered cutpoints, made of a simplex."""
    x = np.linspace(-1.5, 1.5, 20)
    with px.Model() as model:
        shares, slope = px.Dirichlet("shares", np.full(4, 2.0)), px.Normal("slope", 0.0, 1.5)
        cutpoints = px.math.logit(px.math.cumsum(shares)[:3])
        px.OrderedLogistic("y", eta=slope * x, cutpoints=cutpoints, observed=np.zeros(20, int), compute_p=False)
    return model


def survival():
    """Lifetimes, cut off at the end of the study."""
    with px.Model() as model:
        alpha, beta = px.Uniform("alpha", 0.5, 3.0), px.InverseGamma("beta", 4.0, 6.0)
        px.Censored("y", px.Weibull.dist(alpha, beta), lower=None, upper=3.0, observed=np.ones(15))
    return model


def walk():
    """A level that moves, seen through noise with heavy tails."""
    with px.Model(coords={"time": range(12)}) as model:
        step, nu = px.HalfNormal("step", 0.5), px.Gamma("nu", 4.0, 0.5)
        init = px.Normal.dist(0.0, 1.0)
        level = px.GaussianRandomWalk("level", 0.0, step, init_dist=init, dims="time", noncentered=True)
        px.StudentT("y", nu, level, 0.3, observed=ZEROS, dims="time")
    return model


def process():
    """A Gaussian process."""
    x = np.linspace(0.0, 3.0, 10)
    square = (x[:, None] - x) ** 2
    with px.Model() as model:
        length, height = px.LogNormal("length", 0.0, 0.4), px.HalfNormal("height", 1.0)
        cov = height**2 * px.math.exp(-0.5 * square / length**2) + 0.1 * np.eye(10)
        px.MvNormal("y", np.zeros(10), cov=cov, observed=np.zeros(10))
    return model


def classes():
    """Discrete classes, summed out and drawn again."""
    with px.Model() as model:
        weights = px.Dirichlet("weights", np.array([2.0, 3.0]))
        distance = px.HalfNormal("distance", 2.0)
        kind = px.Categorical("kind", weights, shape=8)
        px.Normal("y", px.math.stack([0.0 * distance, distance])[kind], 0.5, observed=np.zeros(8))
    return model


def gaps():
    """Correlated rows, some of which are missing."""
    rows = np.zeros((8, 2))
    rows[2] = rows[5] = np.nan
    with px.Model() as model:
        chol, corr, _ = px.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=px.HalfNormal.dist(1.0), compute_corr=True)
        px.Deterministic("rho", corr[0, 1])
        mu = px.Normal("mu", 0.0, 1.0, shape=2)
        px.MvNormal("y", mu, chol=chol, observed=rows)
    return model


def program(days, y=None):
    """A plain function, with a plate."""
    direction = px.primitives.sample("direction", px.dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    size = px.primitives.sample("size", px.dist.Kumaraswamy(2.0, 2.0))
    with px.primitives.plate("day", len(days)):
        turn = direction[0] * np.cos(days) + direction[1] * np.sin(days)
        px.primitives.sample("y", px.dist.Laplace(size * turn, 0.4), obs=y)


MODELS = {
    make.__name__: make
    for make in (hierarchy, logistic, counts, zeros, ordinal, survival, walk, process, classes, gaps)
}  # fmt: skip
DAYS = np.linspace(0.0, 6.0, 10)
