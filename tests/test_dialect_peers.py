"""Everyday programs under PyMC and under pyrox: the same posteriors."""

import warnings

import numpy as np
import pytest
from scipy import stats

import pyrox as px
from tests.checks import SUITE_LEVEL
from tests.everyday import FILES, NUM_MEANS, Program

pm = pytest.importorskip("pymc")
az = pytest.importorskip("arviz")

LEVEL = SUITE_LEVEL / NUM_MEANS
# Standard errors are themselves estimates, from no fewer effective draws than this.
FEWEST_DRAWS = 200
DRAWS = {"draws": 1000, "tune": 1000, "chains": 4, "random_seed": 7, "progressbar": False}


def means(posterior, names):
    """Means with their standard errors, by name; what never varies has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constants, like a correlation of one with itself
        errors, sizes = (f(posterior, var_names=names) for f in (az.mcse, az.ess))
    for name in names:
        draws = posterior[name].transpose("chain", "draw", ...).values
        varies = draws.std(axis=(0, 1)) > 1e-9
        assert np.all(sizes[name].values[varies] >= FEWEST_DRAWS), f"{name}: {sizes[name].values}"
        yield name, draws.mean(axis=(0, 1)), np.where(varies, errors[name].values, 0.0)


# Transforms that are others here: shares by breaking a stick, and covariance factors.
OTHER_SPACE = {"covariance", "polls"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_densities_agree_at_pymcs_initial_point(name):
    program = Program(name)
    theirs, ours = (program.build(library)[0] for library in (pm, px))
    point = theirs.initial_point()
    start = ours.initial_point()
    assert len(point) == len(start)
    if name in OTHER_SPACE:
        return
    assert {n: np.shape(x) for n, x in start.items()} == {n: x.shape for n, x in point.items()}
    np.testing.assert_allclose(ours.compile_logp()(point), theirs.compile_logp()(point), rtol=1e-6)
    np.testing.assert_allclose(ours.compile_dlogp()(point), theirs.compile_dlogp()(point), rtol=1e-6, atol=1e-5)
    mine, wanted = ours.point_logps(point, 3), theirs.point_logps(point, 3)
    assert mine.keys() == wanted.keys()
    np.testing.assert_allclose(list(mine.values()), [float(wanted[n]) for n in mine], atol=2e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_posteriors_agree(name):
    program = Program(name)
    results = []
    for library, options in ((pm, {"cores": 1}), (px, {})):  # PyMC forks, which JAX's threads do not survive
        model, names = program.build(library)
        with model:
            idata = library.sample(**DRAWS, **program.sampling, **options)
        results.append({n: (mean, error) for n, mean, error in means(idata.posterior, names)})
    theirs, ours = results
    assert theirs.keys() == ours.keys()
    for variable in ours:
        (mean, error), (wanted, its_error) = ours[variable], theirs[variable]
        assert mean.shape == wanted.shape
        limit = stats.norm.isf(LEVEL / 2) * np.hypot(error, its_error) + 1e-9 * (1 + np.abs(wanted))
        apart = np.abs(mean - wanted)
        assert np.all(apart <= limit), f"{variable}: {mean} and {wanted}, {np.max(apart / limit):.2f} times the limit"
