"""Models for the benchmarks: once in the language that pyrox shares with PyMC, once for NumPyro and blackjax."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import problems_latent as latent
import problems_regression as regression


class Problem(NamedTuple):
    """One posterior in two languages."""

    graph: Callable  # of a module, pyrox or pymc: builds the model
    function: Callable  # builds (function, arguments) for NumPyro
    names: tuple[str, ...]  # variables whose effective sample size counts

    @classmethod
    def of(cls, graph: Callable, function: Callable, names: str, *size: int) -> "Problem":
        """Give a problem of one size."""
        return cls(lambda pm: graph(pm, *size), partial(function, *size), tuple(names.split()))


SCHOOLS = regression.schools_graph, regression.schools_function
LOGISTIC = regression.logistic_graph, regression.logistic_function
LINEAR = regression.linear_graph, regression.linear_function
SLOPES = regression.slopes_graph, regression.slopes_function
HORSESHOE = regression.horseshoe_graph, regression.horseshoe_function
ITEMS = latent.items_graph, latent.items_function
VOLATILITY = latent.volatility_graph, latent.volatility_function
PROCESS = latent.process_graph, latent.process_function
GAUSSIAN = latent.gaussian_graph, latent.gaussian_function

PROBLEMS = {
    "eight schools": Problem.of(*SCHOOLS, "mu tau z"),
    "logistic 1000 x 24": Problem.of(*LOGISTIC, "intercept beta", 1000, 24),
    "logistic 20000 x 50": Problem.of(*LOGISTIC, "intercept beta", 20_000, 50),
    "linear 5000 x 20": Problem.of(*LINEAR, "intercept beta sigma", 5000, 20),
    "varying slopes": Problem.of(*SLOPES, "mu_a mu_b sigma_a sigma_b sigma a b"),
    "item response": Problem.of(*ITEMS, "level ability difficulty discrimination"),
    "volatility 1000": Problem.of(*VOLATILITY, "sigma nu z", 1000),
    "process 60": Problem.of(*PROCESS, "length height sigma", 60),
    "process 200": Problem.of(*PROCESS, "length height sigma", 200),
    "gaussian 1000": Problem.of(*GAUSSIAN, "x", 1000),
    "horseshoe 200": Problem.of(*HORSESHOE, "tau sigma beta", 200),
}
