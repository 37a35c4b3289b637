"""Docstrings of statements: written from the table, the classes of ``pyrox.dist`` and the examples below when read."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from pyrox import dist
from pyrox.model.table import Row

# What every statement takes beside the parameters of its distribution.
OPTIONS = {
    "dims": "Names of its axes, one or a tuple; the coords of the model give their lengths.",
    "shape": "Its shape, where neither dims nor parameters tell it.",
    "observed": "Its values, if they are known: an array or a ``px.Data``. What is missing there is imputed.",
    "initval": "Value from which samplers start.",
    "total_size": "Number of rows of all data, where ``observed`` has some of them.",
    "transform": "Transform from unconstrained space, of ``px.dist.transforms``, in place of its support's own.",
    "default_transform": "The same; with ``transform``, that one goes first and this one leads to the values.",
    "noncentered": "Whether samplers see a standardised variable, from which this one is computed.",
}

# Parameters of functions that make distributions, where no class describes them.
_OWN = {
    "ar_order": "Number of coefficients, to be checked.",
    "chol": "Cholesky factor of the covariance or scale matrix, in its place.",
    "constant": "Whether the first of ``rho`` is the level.",
    "dt": "Time from one value to the next.",
    "init_dist": "Distribution of the first value, ``px.X.dist(...)``; a wide normal by default.",
    "mu": "Location, shape of an event or a number.",
    "nu": "Degrees of freedom, positive.",
    "n_zerosum_axes": "Number of axes, counted from the last, along which the sums are zero.",
    "sde_fn": "Function of x and ``sde_pars`` that gives drift and diffusion.",
    "sde_pars": "Parameters of ``sde_fn``, a list.",
    "sigma": "Scale, positive.",
    "steps": "Number of steps after the first value (``AR``: values), where no dims, shape or observed tell it.",
    "support_shape": "Shape of what sums to zero, where dims or shape do not tell it.",
    "n": "Number of trials.",
    "eta": "Location of the latent variable.",
    "alpha": "By how much values are moved up.",
}

# How each one is stated, and the shape of what is stated; its names, if those are several.
_EXAMPLES = {
    "AR": ('rho=[0.6, 0.2], sigma=0.5, init_dist=px.Normal.dist(0.0, 1.0), steps=10', "(12,)"),
    "AsymmetricLaplace": ("kappa=2.0, mu=0.0, b=1.0", "()"),
    "Bernoulli": ("p=0.3, observed=[0, 1, 1]", "(3,)"),
    "Beta": ("alpha=2.0, beta=5.0", "()"),
    "BetaBinomial": ("alpha=2.0, beta=5.0, n=10, observed=[3, 4]", "(2,)"),
    "Binomial": ("n=10, p=0.3, observed=[3, 4]", "(2,)"),
    "CAR": ("mu=[0.0, 0.0, 0.0], W=[[0, 1, 0], [1, 0, 1], [0, 1, 0]], alpha=0.9, tau=1.0", "(3,)"),
    "Categorical": ("p=[0.2, 0.3, 0.5], observed=[0, 2, 2]", "(3,)"),
    "Cauchy": ("alpha=0.0, beta=2.5", "()"),
    "Censored": ("px.Normal.dist(0.0, 1.0), lower=None, upper=2.0, observed=[0.5, 2.0]", "(2,)"),
    "ChiSquared": ("nu=3.0", "()"),
    "CustomDist": ("2.0, logp=lambda x, rate: px.math.log(rate) - rate * x, observed=[0.3, 2.0]", "(2,)"),
    "DiracDelta": ("2.0", "()"),
    "Dirichlet": ("a=[1.0, 1.0, 1.0]", "(3,)"),
    "DirichletMultinomial": ("n=10, a=[1.0, 2.0, 3.0], observed=[2, 3, 5]", "(3,)"),
    "DiscreteMarkovChain": (
        "P=[[0.9, 0.1], [0.2, 0.8]], init_dist=px.Categorical.dist(p=[0.5, 0.5]), steps=9", "(10,)"),
    "DiscreteUniform": ("lower=1, upper=6, observed=[2, 6]", "(2,)"),
    "DiscreteWeibull": ("q=0.6, beta=1.2, observed=[0, 3]", "(2,)"),
    "EulerMaruyama": (
        "0.1, lambda x, rate: (-rate * x, 0.5), [2.0], init_dist=px.Normal.dist(0.0, 1.0), steps=9", "(10,)"),
    "ExGaussian": ("mu=0.0, sigma=1.0, nu=2.0", "()"),
    "Exponential": ("lam=2.0", "()"),
    "Flat": ("", "()"),
    "GARCH11": ("omega=0.1, alpha_1=0.2, beta_1=0.7, initial_vol=1.0, steps=9", "(10,)"),
    "Gamma": ("mu=3.0, sigma=1.0", "()"),
    "GammaPoisson": ("alpha=2.0, beta=0.5, observed=[3, 7]", "(2,)"),
    "GaussianRandomWalk": ("mu=0.0, sigma=0.1, init_dist=px.Normal.dist(0.0, 1.0), steps=9", "(10,)"),
    "Geometric": ("p=0.3, observed=[1, 4]", "(2,)"),
    "Gumbel": ("mu=0.0, beta=1.0", "()"),
    "HalfCauchy": ("beta=1.0", "()"),
    "HalfFlat": ("", "()"),
    "HalfNormal": ("sigma=1.0", "()"),
    "HalfStudentT": ("nu=4.0, sigma=1.0", "()"),
    "Hurdle": ("px.Poisson.dist(3.0), psi=0.7, observed=[0, 2, 4]", "(3,)"),
    "HurdleGamma": ("psi=0.7, alpha=2.0, beta=1.0, observed=[0.0, 1.5]", "(2,)"),
    "HurdleLogNormal": ("psi=0.7, mu=0.0, sigma=1.0, observed=[0.0, 1.5]", "(2,)"),
    "HurdleNegativeBinomial": ("psi=0.7, mu=3.0, alpha=2.0, observed=[0, 2]", "(2,)"),
    "HurdlePoisson": ("psi=0.7, mu=3.0, observed=[0, 2]", "(2,)"),
    "HyperGeometric": ("N=50, k=10, n=5, observed=2", "()"),
    "ICAR": ("W=[[0, 1, 0], [1, 0, 1], [0, 1, 0]], sigma=1.0", "(3,)"),
    "Interpolated": ("x_points=[0.0, 1.0, 2.0], pdf_points=[0.0, 1.0, 0.0]", "()"),
    "InverseGamma": ("alpha=3.0, beta=2.0", "()"),
    "InverseGaussian": ("mu=1.0, lam=2.0", "()"),
    "Kumaraswamy": ("a=2.0, b=5.0", "()"),
    "LKJ": ("n=3, eta=2.0", "(3, 3)"),
    "LKJCholesky": ("n=3, eta=2.0", "(3, 3)"),
    "LKJCholeskyCov": (
        "n=3, eta=2.0, sd_dist=px.Exponential.dist(1.0)", "(3, 3)", "chol, corr, stds"),
    "LKJCorr": ("n=3, eta=2.0, return_matrix=True", "(3, 3)"),
    "Laplace": ("mu=0.0, b=1.0", "()"),
    "LogNormal": ("mu=0.0, sigma=1.0", "()"),
    "Logistic": ("mu=0.0, s=1.0", "()"),
    "LogitNormal": ("mu=0.0, sigma=1.0", "()"),
    "LowRankMultivariateNormal": ("mu=[0.0, 0.0], cov_factor=[[1.0], [0.5]], cov_diag=[0.1, 0.1]", "(2,)"),
    "MatrixNormal": ("mu=[[0.0, 0.0]], rowcov=[[1.0]], colcov=[[1.0, 0.5], [0.5, 1.0]]", "(1, 2)"),
    "Mixture": (
        "w=[0.3, 0.7], comp_dists=[px.Normal.dist(0.0, 1.0), px.Normal.dist(5.0, 1.0)], observed=[0.1, 4.8]", "(2,)"),
    "Moyal": ("mu=0.0, sigma=1.0", "()"),
    "Multinomial": ("n=10, p=[0.2, 0.3, 0.5], observed=[2, 3, 5]", "(3,)"),
    "MvGaussianRandomWalk": ("mu=0.0, cov=[[1.0, 0.5], [0.5, 1.0]], steps=9", "(10, 2)"),
    "MvNormal": ("mu=[0.0, 0.0], cov=[[1.0, 0.5], [0.5, 1.0]]", "(2,)"),
    "MvStudentT": ("nu=4.0, mu=[0.0, 0.0], scale=[[1.0, 0.5], [0.5, 1.0]]", "(2,)"),
    "MvStudentTRandomWalk": ("nu=4.0, mu=0.0, scale=[[1.0, 0.5], [0.5, 1.0]], steps=9", "(10, 2)"),
    "NegativeBinomial": ("mu=3.0, alpha=2.0, observed=[0, 5]", "(2,)"),
    "Normal": ("mu=0.0, sigma=2.0, shape=3", "(3,)"),
    "NormalMixture": ("w=[0.3, 0.7], mu=[0.0, 5.0], sigma=[1.0, 1.0], observed=[0.1, 4.8]", "(2,)"),
    "OrderedLogistic": ("eta=0.5, cutpoints=[-1.0, 1.0], observed=[0, 1, 2]", "(3,)"),
    "OrderedMultinomial": ("eta=0.5, cutpoints=[-1.0, 1.0], n=10, observed=[2, 3, 5]", "(3,)"),
    "OrderedProbit": ("eta=0.5, cutpoints=[-1.0, 1.0], observed=[0, 1, 2]", "(3,)"),
    "Pareto": ("alpha=3.0, m=1.0", "()"),
    "Poisson": ("mu=3.0, observed=[2, 4]", "(2,)"),
    "RandomWalk": (
        "init_dist=px.Normal.dist(0.0, 1.0), innovation_dist=px.StudentT.dist(4.0, 0.0, 0.1), steps=9", "(10,)"),
    "Rice": ("nu=1.0, sigma=1.0", "()"),
    "SkewNormal": ("alpha=3.0, mu=0.0, sigma=1.0", "()"),
    "StickBreakingWeights": ("alpha=1.0, K=4", "(5,)"),
    "StudentT": ("nu=4.0, mu=0.0, sigma=1.0", "()"),
    "Triangular": ("lower=0.0, upper=4.0, c=1.0", "()"),
    "Truncated": ("px.Normal.dist(0.0, 1.0), lower=0.0", "()"),
    "TruncatedCauchy": ("alpha=0.0, beta=1.0, lower=0.0", "()"),
    "TruncatedNormal": ("mu=0.0, sigma=1.0, lower=0.0", "()"),
    "Uniform": ("lower=0.0, upper=10.0", "()"),
    "VonMises": ("mu=0.0, kappa=2.0", "()"),
    "Wald": ("mu=1.0, lam=2.0", "()"),
    "Weibull": ("alpha=1.5, beta=2.0", "()"),
    "Wishart": ("nu=5.0, V=[[1.0, 0.0], [0.0, 1.0]]", "(2, 2)"),
    "ZeroInflated": ("px.Poisson.dist(3.0), psi=0.7, observed=[0, 2, 4]", "(3,)"),
    "ZeroInflatedBinomial": ("psi=0.7, n=10, p=0.3, observed=[0, 4]", "(2,)"),
    "ZeroInflatedNegativeBinomial": ("psi=0.7, mu=3.0, alpha=2.0, observed=[0, 5]", "(2,)"),
    "ZeroInflatedPoisson": ("psi=0.7, mu=3.0, observed=[0, 2]", "(2,)"),
    "ZeroSumNormal": ("sigma=1.0, shape=4", "(4,)"),
}  # fmt: skip


def document(row: Row, summary: str | None, extras: Mapping[str, tuple[Any, str]]) -> str:
    """Write the docstring of a statement.

    Parameters
    ----------
    row
        Its row of the table.
    summary
        Its first line, if that is not to be made of the distribution's.
    extras
        Defaults and descriptions of keywords that this statement alone takes.
    """
    home = _home(row)
    if summary is None:
        said = re.sub(r"^(Make|Give) (a|the) ", "", _first_sentence(row.make))
        summary = f"State a random variable: {said[0].upper()}{said[1:]}."
    formula = _before_parameters(home) if home is row.make else ""
    parameters = {"name": "Its name, no other variable's of the model."}
    if not row.order and "logp" in extras:
        parameters["*params"] = "Parameters of the functions, numbers or variables."
    parameters |= _parameters(row, home)
    parameters |= {name: text for name, (_, text) in extras.items()} | OPTIONS
    arguments, shape, *names = _EXAMPLES[row.name]
    stated = names[0] if names else "x"
    call = f'px.{row.name}("x"{", " if arguments else ""}{arguments})'
    return "\n".join(
        [
            summary,
            "",
            *([formula, ""] if formula else []),
            f"The density and its parameters are those of ``pyrox.dist.{home.__name__}``.",
            "",
            "Parameters\n----------",
            *(f"{', '.join(names)}\n    {text}" for text, names in _by_description(parameters).items()),
            "",
            "Returns\n-------",
            "A variable of the model; in a function that runs under ``px.handlers``, its value.",
            "",
            "Examples\n--------",
            ">>> import pyrox as px\n>>> with px.Model():",
            f"...     {stated} = {call}",
            f">>> {stated.split(',')[0]}.shape\n{shape}",
        ]
    )


def _by_description(parameters: Mapping[str, str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, text in parameters.items():
        names.setdefault(text, []).append(name)
    return names


def _home(row: Row) -> Callable[..., dist.Distribution]:
    """Give the class, or the function that chooses one, whose density a row has."""
    if getattr(dist, row.make.__name__, None) is row.make:
        return row.make
    named = re.search(r"See ``(?:pyrox\.dist\.)?(\w+)``", inspect.getdoc(row.make) or "")
    return getattr(dist, named[1])


def _first_sentence(make: Any) -> str:
    return inspect.getdoc(make).split("\n")[0].split(" See ``")[0].rstrip(".")


def _before_parameters(home: Callable) -> str:
    body = inspect.getdoc(home).split("\n", 1)[1]
    return re.split(r"^(?:Parameters|Examples|References|Raises|Notes)\n-+$", body, flags=re.MULTILINE)[0].strip()


def _parameters(row: Row, home: Callable) -> dict[str, str]:
    """Describe the positional parameters of a statement in the words of its class, and of other parametrisations."""
    words, spelling = _words(home), row.spelling()
    ways = {name: way for way in row.ways for name in inspect.signature(way).parameters}
    own = inspect.signature(row.make).parameters
    described = {}
    for name in row.order.split():
        target = spelling.get(name)
        text = words.get(target) or _OWN.get(name)
        if name in ways and (name not in spelling or text is None):
            text = inspect.getdoc(ways[name])
        others = [n for n, t in spelling.items() if t == target and n != name and n not in row.order.split()]
        if target and others:
            text += f" Also ``{'``, ``'.join(others)}``."
        default = row.defaults.get(target, own[target].default if target in own else None)
        if isinstance(default, int | float) and default is not inspect.Parameter.empty:
            text += f" Default {default}."
        described[name] = text
    return described


def _words(home: Callable) -> dict[str, str]:
    """Give the descriptions of a class's parameters."""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", inspect.getdoc(home), re.MULTILINE | re.DOTALL)
    words: dict[str, str] = {}
    for heads, text in re.findall(r"^(\S.*)\n((?:[ ]+.*\n?|\n)+)", found[1] if found else "", re.MULTILINE):
        words |= dict.fromkeys(re.split(r",\s*", heads), " ".join(text.split()))
    return words
