"""What is made of a model goes with it, and what is compiled is kept in bounds."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

import pyrox as px
from pyrox.samplers import executables
from pyrox.sampling import SamplingRun
from pyrox.target import target_of

GROWTH = """
from pyrox.samplers import executables
executables._KEPT_EXECUTABLES = 3  # soon full
from tests.benchmarks import growth
print(growth.main(fits=10, warm=10, every=5))
"""


def small(width):
    with px.Model() as model:
        px.Normal("y", px.Normal("mu", shape=width), 1.0, observed=[0.0] * width)
    return model


def test_a_model_takes_what_was_made_of_it_along():
    model = small(2)
    target = target_of(model)
    assert target_of(model) is target, "it is made once"
    assert target_of(model.copy()) is not target, "a copy starts anew"
    gone = weakref.ref(model), weakref.ref(target)
    del model, target
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_model_that_was_sampled_and_predicted_goes():
    model = small(2)
    idata = px.sample(5, tune=5, chains=1, model=model, random_seed=1, quiet=True)
    px.predict(idata, model=model, progressbar=False, random_seed=1)
    px.fit(5, model=model, progressbar=False, random_seed=1)
    gone = weakref.ref(model)
    del model, idata
    gc.collect()
    assert gone() is None


def test_runs_of_one_model_share_its_program_and_are_not_kept(monkeypatch):
    model, runs, execute = small(2), [], SamplingRun.execute

    def watched(run):
        runs.append(weakref.ref(run))
        execute(run)

    monkeypatch.setattr(SamplingRun, "execute", watched)
    for seed in range(3):
        px.sample(5, tune=5, chains=1, model=model, random_seed=seed, quiet=True)
    gc.collect()
    assert len(target_of(model)._programs) == 1
    assert [run() for run in runs] == [None] * 3


def test_compiled_chains_are_kept_in_bounds(monkeypatch):
    monkeypatch.setattr(executables, "_KEPT_EXECUTABLES", 2)
    monkeypatch.setattr(executables, "_executables", type(executables._executables)())
    for width in (2, 3, 4):
        px.sample(5, tune=5, chains=1, model=small(width), random_seed=1, quiet=True)
        assert len(executables._executables) <= 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_over_fits_of_different_models():
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYROX_CACHE": "off", "PYTHONPATH": str(root)}
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GROWTH], env=environment, capture_output=True, text=True, check=True
    )
    # A compiled chain takes about seven megabytes: were all ten kept, it would be seventy.
    assert float(out.stdout.splitlines()[-1]) < 30.0, out.stdout
