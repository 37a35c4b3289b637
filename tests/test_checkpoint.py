"""Runs in a Zarr store: read while they grow, gone on with after whatever ended them, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import pyrox as px
from pyrox import checkpoint, runner
from tests import crash, models

xr = pytest.importorskip("xarray")
pytest.importorskip("zarr")

QUIET = {"quiet": True, "random_seed": 3}
SHORT = {"draws": 300, "tune": 200, "chains": 2, **QUIET}
SAMPLED = ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats", "log_likelihood")


def open_tree(folder):
    return xr.open_datatree(folder, engine="zarr")


def groups(results):
    return {name for name in SAMPLED if name in set(results.children if hasattr(results, "children") else results)}


def assert_same(found, expected):
    """Equal groups, variables, types, dims and labels, and equal draws to the last bit."""
    assert groups(found) == groups(expected)
    for group in groups(expected):
        assert set(found[group].data_vars) == set(expected[group].data_vars)
        for name, values in expected[group].data_vars.items():
            other = found[group][name]
            assert (other.dims, other.dtype) == (values.dims, values.dtype), name
            np.testing.assert_array_equal(other.values, values.values, err_msg=f"{group}/{name}")
            for dim in values.dims:
                np.testing.assert_array_equal(found[group][dim].values, expected[group][dim].values)


@pytest.fixture(scope="module")
def schools():
    return models.eight_schools()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run.zarr"


@pytest.fixture(autouse=True)
def _commit_often(monkeypatch):
    monkeypatch.setattr(checkpoint, "COMMIT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole(schools):
    return px.sample(model=schools, **SHORT)


class Stop(Exception):  # noqa: N818
    """Ends a run from inside, as a crash would."""


def crash_at(monkeypatch, iteration):
    """Let the store refuse everything from an iteration on, as if the process had died."""
    add = checkpoint.ChainStream.add

    def add_or_stop(stream, begin, draws, stats, chain):
        if begin + stats.shape[-2] >= iteration:
            raise Stop
        add(stream, begin, draws, stats, chain)

    monkeypatch.setattr(checkpoint.ChainStream, "add", add_or_stop)


def crashed(monkeypatch, folder, iteration, model, **settings):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 2e-4)
    with monkeypatch.context() as inside:
        crash_at(inside, iteration)
        with pytest.raises(Stop):
            px.sample(model=model, checkpoint=folder, **SHORT | settings)


def test_stored_results_are_those_in_memory(schools, whole, folder):
    found = px.sample(model=schools, checkpoint=folder, **SHORT)
    assert_same(found, whole)
    assert type(found) is type(whole)
    assert found["posterior"].attrs["random_seed"] == 3
    assert "interrupted" not in found["posterior"].attrs
    np.testing.assert_array_equal(found["observed_data"]["y"].values, models.EFFECT)


def test_warmup_and_log_likelihood_are_stored_on_demand(schools, folder):
    settings = SHORT | {"discard_tuned_samples": False, "idata_kwargs": {"log_likelihood": True}}
    expected = px.sample(model=schools, **settings)
    assert groups(expected) == set(SAMPLED)
    assert_same(px.sample(model=schools, checkpoint=folder, **settings), expected)


def test_xarray_opens_the_store_with_names_dims_and_labels(schools, folder):
    px.sample(model=schools, checkpoint=folder, **SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior, tree = xr.open_zarr(folder, group="posterior"), open_tree(folder)
    assert posterior["theta"].dims == ("chain", "draw", "school")
    assert list(posterior["school"].values) == list("ABCDEFGH")
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert tree["sample_stats"]["diverging"].dtype == bool
    assert tree["sample_stats"].sizes["draw"] == posterior.sizes["draw"] == 300


@pytest.mark.parametrize("labels", [["north", "süd", "o"], np.arange(3.0), np.array(["2020-01-01"] * 3, "M8[ns]")])
def test_labels_of_every_kind_survive(folder, labels):
    with px.Model(coords={"place": labels}) as model:
        px.Normal("x", 0.0, 1.0, dims="place")
    px.sample(model=model, checkpoint=folder, **SHORT)
    np.testing.assert_array_equal(open_tree(folder)["posterior"]["place"].values, np.asarray(labels))


def test_the_store_can_be_read_while_it_grows(schools, folder):
    run = px.sample(10**7, tune=200, chains=2, model=schools, checkpoint=folder, blocking=False, **QUIET)
    lengths = []
    while len(set(lengths)) < 3:
        assert run.progress.status in ("compiling", "running")
        if folder.exists():
            tree = open_tree(folder)
            values = tree["posterior"]["theta"].values
            assert np.isfinite(values).all()
            assert tree["sample_stats"]["lp"].shape == values.shape[:2]
            lengths.append(values.shape[1])
    found = run.abort()
    assert sorted(lengths) == lengths
    assert found["posterior"].sizes["draw"] >= lengths[-1]


@pytest.mark.parametrize("iteration", [20, 150, 210, 333, 499])
def test_a_crash_at_any_iteration_leaves_a_run_to_go_on_with(schools, whole, folder, monkeypatch, iteration):
    crashed(monkeypatch, folder, iteration, schools)
    tree = open_tree(folder)
    kept = tree["posterior"].sizes["draw"]
    assert kept <= max(iteration - 200, 0)
    assert tree["posterior"].attrs["interrupted"] == 1
    np.testing.assert_array_equal(tree["posterior"]["theta"].values, whole["posterior"]["theta"].values[:, :kept])
    assert_same(px.resume(folder, model=schools, quiet=True), whole)


def test_what_is_resumed_does_not_depend_on_files_chunks_or_cores(schools, folder, monkeypatch):
    settings = {"discard_tuned_samples": False, "idata_kwargs": {"log_likelihood": True}}
    expected = px.sample(model=schools, **SHORT | settings)
    monkeypatch.setattr(checkpoint, "_FILE_DRAWS", 8)
    crashed(monkeypatch, folder, 77, schools, cores=1, **settings)
    with monkeypatch.context() as inside:
        crash_at(inside, 345)
        with pytest.raises(Stop):
            px.resume(folder, model=schools, quiet=True, cores=2)
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 0.1)
    assert_same(px.resume(folder, model=schools, quiet=True, cores=1), expected)


@pytest.mark.parametrize("adaptation", ["low_rank", "dense", "stan"])
def test_every_adaptation_resumes_bit_for_bit(folder, monkeypatch, adaptation):
    model = models.varying_slopes(rows=100, groups=5)
    expected = px.sample(model=model, adaptation=adaptation, **SHORT)
    crashed(monkeypatch, folder, 120, model, adaptation=adaptation)
    found = px.resume(folder, model=model, quiet=True)
    assert_same(found, expected)
    assert found["sampler_state"].attrs["settings"] == expected["sampler_state"].attrs["settings"]


def test_a_finished_run_can_be_extended(schools, folder):
    expected = px.sample(model=schools, **SHORT | {"draws": 450})
    px.sample(model=schools, checkpoint=folder, **SHORT)
    assert_same(px.resume(folder, draws=450, model=schools, quiet=True), expected)
    assert_same(px.resume(folder, model=schools, quiet=True), expected)  # there is nothing left to do
    with pytest.raises(ValueError, match="has 450 of each chain already, not 100"):
        px.resume(folder, draws=100, model=schools)


def test_a_function_resumes_with_its_arguments(folder, monkeypatch):
    arguments = (models.EFFECT, models.ERROR)
    expected = px.sample(model=models.schools_function, model_args=arguments, **SHORT)
    crashed(monkeypatch, folder, 300, models.schools_function, model_args=arguments)
    assert_same(px.resume(folder, model=models.schools_function, model_args=arguments, quiet=True), expected)
    with pytest.raises(px.ModelError, match=r"the data are not those of the run.*'0'"):
        px.resume(folder, model=models.schools_function, model_args=(models.EFFECT + 1, models.ERROR))


def test_large_results_stay_in_the_store(schools, whole, folder, monkeypatch):
    monkeypatch.setattr("pyrox.results._LOADED_BYTES", 0)
    found = px.sample(model=schools, checkpoint=folder, **SHORT)
    assert not isinstance(found["posterior"]["theta"].variable._data, np.ndarray)
    assert_same(found, whole)


# What keeps a run from going on


def changed_prior():
    with px.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = px.Normal("mu", 0.0, 6.0)
        tau = px.HalfCauchy("tau", 5.0)
        z = px.Normal("z", 0.0, 1.0, dims="school")
        theta = px.Deterministic("theta", mu + tau * z, dims="school")
        px.Normal("y", theta, models.ERROR, observed=px.Data("effect", models.EFFECT, dims="school"), dims="school")
    return model


def changed_deterministic():
    with px.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = px.Normal("mu", 0.0, 5.0)
        tau = px.HalfCauchy("tau", 5.0)
        z = px.Normal("z", 0.0, 1.0, dims="school")
        px.Deterministic("theta", mu - tau * z, dims="school")
        y = px.Data("effect", models.EFFECT, dims="school")
        px.Normal("y", mu + tau * z, models.ERROR, observed=y, dims="school")
    return model


def other_model():
    with px.Model() as model:
        px.Normal("mu", 0.0, 1.0)
    return model


OTHERS = {
    "data": (lambda: models.eight_schools(models.EFFECT * 2), "the data are not those of the run in .*'effect'"),
    "prior": (changed_prior, "(data|log-density)"),
    "deterministic": (changed_deterministic, "named values"),
    "variables": (other_model, "no variable"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_model_or_other_data_are_refused(schools, whole, folder, monkeypatch, case):
    make, words = OTHERS[case]
    crashed(monkeypatch, folder, 300, schools)
    with pytest.raises(px.ModelError, match=words):
        px.resume(folder, model=make())
    assert_same(px.resume(folder, model=models.eight_schools(), quiet=True), whole)


def test_another_precision_is_refused(schools, folder, monkeypatch):
    crashed(monkeypatch, folder, 300, schools)
    px.set_precision("float32")
    try:
        with pytest.raises(px.ModelError, match="set_precision\\('float64'\\)"):
            px.resume(folder, model=models.eight_schools())
    finally:
        px.set_precision("float64")


def test_another_version_of_jax_is_told_and_goes_on(schools, whole, folder, monkeypatch):
    crashed(monkeypatch, folder, 300, schools)
    root = json.loads((folder / "zarr.json").read_text())
    root["attributes"]["pyrox"]["versions"]["jax"] = "0.1"
    (folder / "zarr.json").write_text(json.dumps(root))
    with pytest.warns(UserWarning, match="was begun with JAX 0.1") as caught:
        found = px.resume(folder, model=schools, quiet=True)
    assert caught[0].filename == __file__
    assert_same(found, whole)


def test_nothing_is_ever_overwritten(schools, folder, tmp_path):
    px.sample(model=schools, checkpoint=folder, **SHORT)
    with pytest.raises(FileExistsError, match=r"px\.resume\('.*run\.zarr'\) goes on"):
        px.sample(model=schools, checkpoint=folder, **SHORT)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        px.sample(model=schools, checkpoint=tmp_path / "notes.txt", **SHORT)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_missing_or_foreign_store_is_told(schools, folder):
    with pytest.raises(FileNotFoundError, match=r"there is no run at .*has lost nothing"):
        px.resume(folder, model=schools)
    xr.Dataset({"x": 1.0}).to_zarr(folder, consolidated=False)
    with pytest.raises(ValueError, match=r"not one that px\.sample"):
        px.resume(folder, model=schools)


def test_two_runs_do_not_write_to_one_store(schools, folder):
    first = px.sample(10**6, tune=100, model=schools, checkpoint=folder, blocking=False, **QUIET)
    while first.progress.done < 1000:
        time.sleep(0.01)
    with pytest.raises(px.SamplingError, match="another run is writing"):
        px.resume(folder, model=schools)
    first.abort()
    assert px.resume(folder, draws=first.result()["posterior"].sizes["draw"], model=schools, quiet=True) is not None


def test_without_zarr_the_error_says_what_to_install(schools, folder, monkeypatch):
    monkeypatch.setattr("pyrox.store.find_spec", lambda name: None)
    for call in (lambda: px.sample(checkpoint=folder, model=schools), lambda: px.resume(folder, model=schools)):
        with pytest.raises(ImportError, match=r'pip install "pyrox\[store\]"'):
            call()


def test_what_a_crash_leaves_half_done_is_removed(schools, whole, folder, monkeypatch):
    crashed(monkeypatch, folder, 300, schools)
    (folder / "states-999.npz").write_bytes(b"half")
    (folder / "posterior" / "mu" / ".zarr.json.unfinished").write_bytes(b"half")
    assert_same(px.resume(folder, model=schools, quiet=True), whole)
    assert len(list(folder.glob("states-*.npz"))) == 1
    assert not list(folder.rglob(".*.unfinished"))


# A disk that is full


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte; making one is for root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_ends_the_run_and_loses_no_committed_draw(schools, small_disk, monkeypatch):
    folder = small_disk / "run.zarr"
    settings = {"draws": 2000, "tune": 200, "chains": 2, **QUIET}
    expected = px.sample(model=schools, **settings)
    with monkeypatch.context() as inside:
        inside.setattr(checkpoint, "_FILE_DRAWS", 256)
        inside.setattr(checkpoint, "_MAX_SHARE", np.inf)  # commit after every chunk
        inside.setattr(runner, "CHUNK_SECONDS", 2e-3)
        with pytest.raises(px.SamplingError, match=r"run\.zarr' could not be written: No space left.*px\.resume\("):
            px.sample(model=schools, checkpoint=folder, **settings)
    tree = open_tree(folder)
    kept = tree["posterior"].sizes["draw"]
    assert 0 < kept < 2000
    np.testing.assert_array_equal(tree["posterior"]["theta"].values, expected["posterior"]["theta"].values[:, :kept])
    with pytest.raises(px.SamplingError, match="No space left"):  # still full
        px.resume(folder, model=schools, quiet=True)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert_same(px.resume(folder, model=schools, quiet=True), expected)


def test_a_disk_that_is_full_from_the_beginning(schools, small_disk):
    (small_disk / "ballast").write_bytes(bytes(500_000))
    with pytest.raises(px.SamplingError, match="could not be made: No space left"):
        px.sample(model=schools, checkpoint=small_disk / "run.zarr", **SHORT)
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]


def test_a_folder_that_cannot_be_written(schools, monkeypatch, folder):
    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pyrox.results.write_skeleton", refuse)
    with pytest.raises(px.SamplingError, match="could not be made: Permission denied"):
        px.sample(model=schools, checkpoint=folder, **SHORT)
    assert not folder.exists()


# Real signals, in processes of their own

INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import pyrox as px
from tests import models
idata = px.sample(10**7, tune=200, chains=2, random_seed=3, model=models.eight_schools(), checkpoint=sys.argv[1],
                  progressbar=False)
print(idata["posterior"].sizes["draw"])
"""


def test_ctrl_c_leaves_a_run_to_go_on_with(schools, folder):
    command = [sys.executable, "-c", INTERRUPTED, str(folder)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (folder.exists() and open_tree(folder)["posterior"].sizes["draw"]):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Sampling was interrupted" in errors
    assert f"px.resume('{folder}') goes on from there" in errors
    kept = int(out)
    assert open_tree(folder)["posterior"].sizes["draw"] == kept
    found = px.resume(folder, draws=kept + 100, model=schools, quiet=True)
    expected = px.sample(kept + 100, tune=200, chains=2, model=schools, **QUIET)
    assert_same(found, expected)


@pytest.mark.slow
def test_sigkill_at_random_moments():
    same, done = crash.kill_and_resume(kills=2, draws=3000, seed=int.from_bytes(os.urandom(4)), tell=print)
    assert same == done == 2
