"""Distributions against their oracles: densities to 1e-8 in both tails, cdf, quantiles, moments, entropy."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.cases import DISTRIBUTIONS, QUANTILES, Formula


def known(name: str) -> list:
    """Give the cases whose distribution defines a closed form, and whose oracle knows it too."""
    method = {"mean": "_mean", "var": "_variance", "entropy": "_entropy", "cdf": "_cdf", "ppf": "_icdf"}[name]
    return [c for c in DISTRIBUTIONS if name not in c.skip and _defines(c.d, method) and _offers(c.oracle, name)]


_STANDARD = {
    "_mean": "_moments",
    "_variance": "_moments",
    "_entropy": "_spread",
    "_cdf": "_below",
    "_icdf": "_quantile",
}


def _defines(d, method: str) -> bool:
    owner = getattr(type(d), method).__qualname__.split(".")[0]
    if owner == "LocScale":  # which asks for the standard case
        owner = getattr(type(d), _STANDARD[method]).__qualname__.split(".")[0]
    if owner == "Derived":  # which asks what it means
        return _defines(d.meaning, method)
    return owner not in ("Distribution", "LocScale") or (method == "_icdf" and _defines(d, "_cdf"))


def _offers(oracle, name: str) -> bool:
    offered = getattr(oracle, name, None)
    return callable(offered) if isinstance(oracle, Formula) or name != "mean" else offered is not None


def _call(offered):
    return offered() if callable(offered) else offered


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_log_density(case):
    points = case.values
    assert len(points) >= 2
    np.testing.assert_allclose(case.d.log_prob(points), case.log_density(points), rtol=case.rtol, atol=1e-12)


@pytest.mark.parametrize("case", known("cdf"), ids=str)
def test_cdf(case):
    points = case.values
    np.testing.assert_allclose(case.d.cdf(points), case.oracle.cdf(points), rtol=1e-7, atol=1e-14)
    d = case.d
    ends = d.cdf(jnp.array([-1e10, 1e10]))
    assert ends[0] <= 1e-3
    assert ends[1] >= 1 - 1e-3


TAILS = [c for c in known("cdf") if hasattr(c.oracle, "logsf")]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SciPy's, where its quantiles give up
@pytest.mark.parametrize("case", TAILS, ids=str)
def test_both_tails_in_logarithms(case):
    tails = np.array([1e-100, 1e-60, *QUANTILES])
    with np.errstate(all="ignore"):
        points = np.unique(np.concatenate([case.oracle.ppf(tails), case.oracle.isf(tails)]))
        # Beside an end other than zero, the rounding of the point itself decides.
        ends = [e for e in case.oracle.support() if np.isfinite(e) and e != 0 and not case.d.is_discrete]
        points = points[np.isfinite(points) & np.all([np.abs(points - e) > 1e-3 for e in ends], axis=0)]
        for ours, theirs in ((case.d.log_cdf, case.oracle.logcdf), (case.d.log_sf, case.oracle.logsf)):
            expected = theirs(points)
            usable = np.isfinite(expected)  # elsewhere SciPy has run out of digits
            np.testing.assert_allclose(ours(points)[usable], expected[usable], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("case", known("ppf"), ids=str)
def test_quantiles_undo_the_cdf(case):
    d = case.d
    q = jnp.array([1e-10, 1e-4, 0.1, 0.5, 0.9, 0.9999])
    if d.is_discrete:
        np.testing.assert_allclose(d.icdf(q), case.oracle.ppf(np.asarray(q)))
    else:
        np.testing.assert_allclose(d.cdf(d.icdf(q)), q, rtol=1e-7, atol=1e-15)
        np.testing.assert_allclose(d.icdf(q), case.oracle.ppf(np.asarray(q)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", known("mean"), ids=str)
def test_mean(case):
    np.testing.assert_allclose(case.d.mean, _call(case.oracle.mean), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("case", known("var"), ids=str)
def test_variance(case):
    np.testing.assert_allclose(case.d.variance, _call(case.oracle.var), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("case", known("entropy"), ids=str)
def test_entropy(case):
    np.testing.assert_allclose(case.d.entropy(), case.oracle.entropy(), rtol=1e-6, atol=1e-9)
