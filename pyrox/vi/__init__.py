"""Variational inference: objectives, guides made from a model, optimizers, and the loop that fits."""

from pyrox.vi import optim
from pyrox.vi.annealed import AutoDAIS
from pyrox.vi.autoguides import (
    AutoBNAF,
    AutoDiagonalNormal,
    AutoIAFNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyrox.vi.guides import AutoContinuous
from pyrox.vi.objectives import ELBO, AutoContinuousELBO, RenyiELBO
from pyrox.vi.points import AutoDelta, AutoGuideList, AutoLaplaceApproximation
from pyrox.vi.svi import SVI, SVIRunResult, SVIState

__all__ = [
    "ELBO",
    "SVI",
    "AutoBNAF",
    "AutoContinuous",
    "AutoContinuousELBO",
    "AutoDAIS",
    "AutoDelta",
    "AutoDiagonalNormal",
    "AutoGuideList",
    "AutoIAFNormal",
    "AutoLaplaceApproximation",
    "AutoLowRankMultivariateNormal",
    "AutoMultivariateNormal",
    "AutoNormal",
    "RenyiELBO",
    "SVIRunResult",
    "SVIState",
    "optim",
]
