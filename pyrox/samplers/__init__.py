"""Markov chain Monte Carlo: samplers as objects and as functions, and the machine they run on."""

from pyrox.samplers.adaptation import DualAveraging
from pyrox.samplers.chain import ChainState
from pyrox.samplers.collect import fori_collect
from pyrox.samplers.compile import ChainProgram
from pyrox.samplers.consensus import consensus, parametric, parametric_draws
from pyrox.samplers.hamiltonian import HMC, NUTS, HMCState, hmc
from pyrox.samplers.hmc import HMCKernel
from pyrox.samplers.kernel import Info, State
from pyrox.samplers.mcmc import MCMC
from pyrox.samplers.metric_adaptation import FisherDiagonal, FisherDirection, WelfordWindows
from pyrox.samplers.metrics import CustomMetric, DenseMetric, DiagonalMetric, RankOneMetric
from pyrox.samplers.nuts import NUTSKernel
from pyrox.samplers.recipe import Recipe
from pyrox.samplers.source import initialize_model

__all__ = [
    "HMC",
    "MCMC",
    "NUTS",
    "ChainProgram",
    "ChainState",
    "CustomMetric",
    "DenseMetric",
    "DiagonalMetric",
    "DualAveraging",
    "FisherDiagonal",
    "FisherDirection",
    "HMCKernel",
    "HMCState",
    "Info",
    "NUTSKernel",
    "RankOneMetric",
    "Recipe",
    "State",
    "WelfordWindows",
    "consensus",
    "fori_collect",
    "hmc",
    "initialize_model",
    "parametric",
    "parametric_draws",
]  # fmt: skip
