"""Runs in the background: looked at, paused, ended early; and results that are continued."""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import pyrox as px
from pyrox.results import has_inference_data, load_arviz
from tests import models
from tests.test_checkpoint import assert_same

QUIET = {"quiet": True, "random_seed": 3}
SHORT = {"draws": 300, "tune": 200, "chains": 2, **QUIET}
ENDLESS = {"draws": 10**7, "tune": 200, "chains": 2, **QUIET}


@pytest.fixture(scope="module")
def schools():
    return models.eight_schools()


@pytest.fixture(scope="module")
def whole(schools):
    return px.sample(model=schools, **SHORT)


@pytest.fixture
def endless(schools):
    run = px.sample(model=schools, blocking=False, **ENDLESS)
    yield run
    run.abort()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def draws(results, name="theta"):
    return results["posterior"][name].values


def test_the_result_is_that_of_a_run_that_blocks(schools, whole):
    run = px.sample(model=schools, blocking=False, **SHORT)
    assert_same(run.result(), whole)
    assert run.result() is run.result()
    assert run.wait(0)
    assert (run.progress.status, run.progress.done, run.progress.total) == ("finished", 1000, 1000)


def test_it_returns_at_once_and_compiles_behind(schools):
    with px.Model() as model:  # one that was never compiled
        px.Normal("x", 0.123456, 1.0, shape=7)
    began = time.monotonic()
    run = px.sample(model=model, blocking=False, **SHORT)
    assert run.progress.status == "compiling"
    assert time.monotonic() - began < 1.0
    assert not run.wait(0.0)
    assert draws(run.result(), "x").shape == (2, 300, 7)


def test_data_set_while_it_runs_are_not_its_own():
    with px.Model() as model:
        y = px.Data("y", np.zeros(10))
        px.Normal("likelihood", px.Normal("mu", 0, 10), 1, observed=y)
    run = px.sample(model=model, blocking=False, **SHORT)
    model.set_data("y", np.full(10, 100.0))
    assert abs(float(run.result()["posterior"]["mu"].mean())) < 1


def test_inspection_gives_the_draws_so_far(schools, endless):
    wait_for(lambda: endless.progress.done > 3000)
    seen = endless.inspect()
    done = endless.progress.done
    wait_for(lambda: endless.progress.done > done + 10_000)  # the chain that is behind goes on first
    later = endless.inspect()
    count = seen["posterior"].sizes["draw"]
    assert 0 < count < later["posterior"].sizes["draw"]
    assert seen["posterior"].attrs["interrupted"] == 1
    np.testing.assert_array_equal(draws(seen), draws(later)[:, :count])
    assert not endless.wait(0.01)


def test_a_pause_holds_all_chains_until_resume(endless):
    wait_for(lambda: endless.progress.done > 3000)
    endless.pause()
    assert endless.progress.status == "paused"
    time.sleep(0.7)
    held = endless.progress.done
    time.sleep(0.5)
    assert endless.progress.done == held
    assert endless.inspect()["posterior"].sizes["draw"] > 0
    endless.resume()
    assert endless.progress.status == "running"
    wait_for(lambda: endless.progress.done > held)


def test_an_abort_gives_equally_many_draws_of_each_chain(schools, endless):
    wait_for(lambda: endless.progress.done > 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = endless.abort()
    assert endless.progress.status == "aborted"
    count = found["posterior"].sizes["draw"]
    np.testing.assert_array_equal(
        draws(found), draws(px.sample(count, tune=200, chains=2, model=schools, **QUIET))
    )
    assert endless.abort() is found


def test_an_abort_ends_a_pause_and_comes_before_the_first_draw(schools):
    run = px.sample(model=schools, blocking=False, **ENDLESS | {"tune": 10**7})
    run.pause()
    wait_for(lambda: run.progress.status == "paused")
    with pytest.raises(px.SamplingError, match="there are no draws yet"):
        run.inspect()
    with pytest.raises(px.SamplingError, match="there are no draws yet"):
        run.abort()
    assert run.wait(0)


def test_a_run_in_a_store_is_inspected_and_resumed(schools, tmp_path):
    pytest.importorskip("zarr")
    run = px.sample(model=schools, blocking=False, checkpoint=tmp_path / "run.zarr", **ENDLESS)
    wait_for(lambda: run.progress.done > 3000)
    run.pause()
    seen = run.inspect()
    assert seen["posterior"].sizes["draw"] > 0
    found = run.abort()
    count = found["posterior"].sizes["draw"]
    again = px.resume(tmp_path / "run.zarr", draws=count + 50, model=schools, quiet=True, blocking=False)
    expected = px.sample(count + 50, tune=200, chains=2, model=schools, **QUIET)
    assert_same(again.result(), expected)


def test_what_goes_wrong_is_raised_where_the_result_is_asked_for():
    with px.Model() as model:
        a = px.Normal("a", 0.0, 1.0)
        px.Potential("wall", px.math.where(a > 100, 0.0, -np.inf))
    run = px.sample(model=model, blocking=False, **SHORT)
    assert run.wait(60)
    assert run.progress.status == "failed"
    for ask in (run.result, run.inspect, run.abort):
        with pytest.raises(px.InitializationError, match="wall"):
            ask()


def test_wrong_arguments_are_told_at_once():
    with pytest.raises(px.ModelError, match=r"with px\.Model"):
        px.sample(blocking=False)


def test_findings_point_at_the_line_that_asks(schools):
    run = px.sample(20, tune=20, model=schools, random_seed=1, progressbar=False, blocking=False)
    with pytest.warns(px.ConvergenceWarning, match="too small") as caught:
        run.result()
    assert caught[0].filename == __file__


def test_it_shows_itself_in_words_and_in_a_notebook(endless):
    wait_for(lambda: endless.progress.chains and not endless.progress.chains[0].warming)
    assert "running" in repr(endless)
    shown = endless._repr_html_()
    assert "<progress" in shown
    assert shown.count("<tr") == 3
    assert "divergences" in shown


def test_an_interpreter_may_end_while_a_run_goes_on():
    code = (
        "import pyrox as px; from tests import models; import time\n"
        "run = px.sample(10**8, model=models.eight_schools(), blocking=False, quiet=True)\n"
        "time.sleep(3)"
    )
    root = Path(__file__).parent.parent
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


# Results that are continued


def test_a_continued_result_is_that_of_a_longer_run(schools, whole):
    longer = px.sample(model=schools, **SHORT | {"draws": 420})
    once = px.continue_sampling(whole, 120, model=schools, quiet=True)
    assert_same(once, longer)
    twice = px.continue_sampling(whole, 50, model=schools, quiet=True)
    assert_same(px.continue_sampling(twice, 70, model=schools, quiet=True), longer)
    assert type(once) is type(whole)
    assert whole["posterior"].sizes["draw"] == 300


def test_the_state_survives_a_file(schools, whole, tmp_path):
    xr = pytest.importorskip("xarray")
    whole.to_netcdf(str(tmp_path / "fit.nc"))
    tree = xr.open_datatree(tmp_path / "fit.nc").load()
    read = [tree]
    if has_inference_data():
        read.append(load_arviz().from_netcdf(str(tmp_path / "fit.nc")))
    longer = px.sample(model=schools, **SHORT | {"draws": 350})
    for back in read:
        assert_same(px.continue_sampling(back, 50, model=models.eight_schools(), quiet=True), longer)
    tree.close()


@pytest.mark.parametrize("adaptation", ["low_rank", "dense", "stan"])
def test_every_adaptation_is_continued(adaptation):
    model = models.varying_slopes(rows=100, groups=5)
    short = px.sample(model=model, adaptation=adaptation, **SHORT)
    longer = px.sample(model=model, adaptation=adaptation, **SHORT | {"draws": 340})
    assert_same(px.continue_sampling(short, 40, model=model, quiet=True), longer)


def test_log_likelihood_and_warmup_are_carried_on_and_predictions_are_not(schools):
    settings = SHORT | {"discard_tuned_samples": False, "idata_kwargs": {"log_likelihood": True}}
    short, longer = px.sample(model=schools, **settings), px.sample(model=schools, **settings | {"draws": 330})
    import xarray as xr

    short["posterior_predictive"] = xr.Dataset({"y": short["posterior"]["theta"]})
    found = px.continue_sampling(short, 30, model=schools, quiet=True)
    assert_same(found, longer)
    assert "posterior_predictive" not in (found.children if hasattr(found, "children") else found.groups())


def test_some_of_the_chains_are_continued(schools, whole):
    one = whole.sel(chain=[1])
    found = px.continue_sampling(one, 25, model=schools, quiet=True)
    longer = px.sample(model=schools, **SHORT | {"draws": 325})
    np.testing.assert_array_equal(draws(found), draws(longer)[1:])
    assert list(found["posterior"]["chain"].values) == [1]


def test_what_cannot_be_continued_is_told(schools, whole):
    with pytest.raises(px.ModelError, match=r"the data are not those .*'effect'"):
        px.continue_sampling(whole, model=models.eight_schools(models.EFFECT + 1.0))
    with pytest.raises(px.ModelError, match="ends after draw 249, the chains stand after draw 299"):
        px.continue_sampling(whole.isel(draw=slice(0, 250)), model=schools)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        px.continue_sampling(whole, 0, model=schools)
    with px.Model(coords={"school": list("ABCDEFGH")}) as other:
        mu, tau = px.Normal("mu", 0.0, 5.5), px.HalfCauchy("tau", 5.0)
        z = px.Normal("z", 0.0, 1.0, dims="school")
        theta = px.Deterministic("theta", mu + tau * z, dims="school")
        y = px.Data("effect", models.EFFECT, dims="school")
        px.Normal("y", theta, models.ERROR, observed=y, dims="school")
    with pytest.raises(px.ModelError, match=r"(the data are not|its log-density was)"):
        px.continue_sampling(whole, model=other)
    bare = whole.copy()
    del bare["sampler_state"]
    with pytest.raises(px.ModelError, match="no group 'sampler_state'"):
        px.continue_sampling(bare, model=schools)


def test_arviz_is_not_disturbed_by_the_state(whole):
    az = load_arviz()
    assert len(az.summary(whole, var_names=["theta"])) == 8
    assert az.extract(whole).sizes["sample"] == 600
    assert whole.isel(draw=slice(0, 100))["posterior"].sizes["draw"] == 100
