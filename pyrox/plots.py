"""ArviZ's functions under the names that PyMC gives them: ``px.plot_trace``, ``px.summary``, ``px.loo``.

They are ArviZ's own, whichever generation is installed; ArviZ is imported when one of them is asked for.
"""

from typing import Any

from pyrox import results

# The plots of ArviZ 0.x and of 1.x, where these are called otherwise.
_PLOTS = {
    "plot_autocorr": None, "plot_bf": None, "plot_compare": None, "plot_density": "plot_dist", "plot_dist": None,
    "plot_ecdf": "plot_ecdf_pit", "plot_energy": None, "plot_ess": None, "plot_forest": None, "plot_hdi": None,
    "plot_kde": "plot_dist", "plot_khat": None, "plot_lm": None, "plot_loo_pit": None, "plot_mcse": None,
    "plot_pair": None, "plot_parallel": None, "plot_posterior": "plot_dist", "plot_ppc": "plot_ppc_dist",
    "plot_rank": None, "plot_separation": None, "plot_trace": None, "plot_violin": "plot_dist",
}  # fmt: skip
_STATS = {
    "autocorr": None, "bfmi": None, "compare": None, "ess": None, "hdi": None, "loo": None, "loo_pit": None,
    "mcse": None, "psislw": None, "r2_score": None, "rhat": None, "summary": None, "waic": "loo",
}  # fmt: skip
NAMES = {**_PLOTS, **_STATS}

__all__ = list(NAMES)


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"pyrox has no {name!r}")
    arviz = results.load_arviz()
    if hasattr(arviz, name):
        return getattr(arviz, name)
    other = f": arviz.{NAMES[name]} takes its place" if NAMES[name] else ""
    raise AttributeError(f"ArviZ {arviz.__version__} has no {name}{other}")


def __dir__() -> list[str]:
    return __all__
