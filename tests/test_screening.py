"""Large posteriors are judged by the elements that mix worst, and these are not missed."""

import numpy as np
import pytest

from pyrox import screening
from pyrox.mixing import rank_rhat_and_ess
from pyrox.screening import screen

xr = pytest.importorskip("xarray")


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 200, 3, 60))
    x[0, :, 1, 17] += 3.0  # a chain elsewhere
    slow = np.cumsum(rng.normal(size=(4, 200)), axis=1)
    x[:, :, 2, 41] = slow - slow.mean(axis=1, keepdims=True)
    x[:, :, 0, 5] = 1.0  # a constant
    labels = [f"p{i}" for i in range(60)]
    return xr.Dataset(
        {
            "x": (("chain", "draw", "group", "place"), x),
            "twice": (("chain", "draw", "place"), 2 * x[:, :, 0]),
            "mu": (("chain", "draw"), rng.normal(size=(4, 200))),
        },
        coords={"place": labels},
    )


def test_small_posteriors_stay_whole(posterior):
    assert screen(posterior) is posterior


def test_the_worst_elements_stay_under_their_labels(posterior, monkeypatch):
    monkeypatch.setattr(screening, "_NUMBERS", 30_000)
    found = screen(posterior)
    assert found.sizes["place"] < 12
    assert found["x"].dims == posterior["x"].dims
    assert {"p17", "p41"} <= set(found["place"].values)
    for choose in (np.nanmax, lambda ess: np.nanmin(ess)):
        which = 0 if choose is np.nanmax else 1
        whole, kept = (rank_rhat_and_ess(p["x"].values)[which] for p in (posterior, found))
        assert choose(kept) == choose(whole)
    xr.testing.assert_equal(found["mu"], posterior["mu"])
