"""A real SIGINT in the middle of a real run, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import json, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with it ignored
import numpy as np
import pyrox as px
from pyrox.samplers.run import ChainJob

advance = ChainJob.advance

def advance_and_tell(job, n):
    advance(job, n)
    if job.done - n < {tell_at} <= job.done:
        os.write(1, b"under way\\n")  # in one piece: chains on two threads may tell at once

ChainJob.advance = advance_and_tell
{model}
print("ready", flush=True)
try:
    idata = px.sample({arguments}, model=model, random_seed=1, compute_convergence_checks=False)
except BaseException as error:
    print(json.dumps({{"error": type(error).__name__, "message": str(error)}}), flush=True)
    raise SystemExit(0)
from pyrox.results import load_arviz
posterior = idata["posterior"]
summary = load_arviz().summary(idata, var_names=["x"])
whole = px.sample({whole}, model=model, random_seed=1, progressbar=False, compute_convergence_checks=False)
n = posterior.sizes["draw"]
print(json.dumps({{
    "shape": posterior["x"].shape,
    "finite": bool(np.isfinite(posterior["x"].values).all()),
    "interrupted": int(posterior.attrs.get("interrupted", 0)),
    "statistics": idata["sample_stats"]["lp"].shape,
    "rows": len(summary),
    "same": bool(np.array_equal(posterior["x"].values[:, :50], whole["posterior"]["x"].values[:, :50])),
}}), flush=True)
"""
MODEL = """
with px.Model() as model:
    x = px.Normal("x", 0.0, 1.0, shape=20)
    px.Deterministic("total", x.sum())
"""
SLOW = """
with px.Model() as model:
    x = px.Normal("x", 0.0, 1.0, shape=20)
    px.Normal("y", px.math.sum(px.math.sin(x)) + np.zeros(200000), 1.0, observed=np.zeros(200000))
"""


def interrupted(model, arguments, *, tell_at=1, delay=0.0):
    """Run a program, interrupt it once a chain has come that far, and give what it says at the end."""
    code = PROGRAM.format(model=model, arguments=arguments, whole="50, tune=200", tell_at=tell_at)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        try:
            assert process.stdout.readline().strip() == "ready"
            if not delay:
                assert process.stdout.readline().strip() == "under way"
            time.sleep(delay)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def test_draws_so_far_are_returned_whole():
    found = interrupted(MODEL, "5_000_000, tune=200", tell_at=5000)
    chains, drawn, dim = found["shape"]
    assert (chains, dim) == (4, 20)
    assert drawn > 1000
    assert found["finite"]
    assert found["interrupted"] == 1
    assert found["statistics"] == [4, drawn]
    assert found["rows"] == 20
    assert found["same"], "they are the draws of the uninterrupted run"


def test_an_interrupt_during_warmup_says_so():
    found = interrupted(SLOW, "100, tune=1_000_000")
    assert found["error"] == "SamplingError"
    assert "interrupted during warm-up" in found["message"]
    assert "discard_tuned_samples=False" in found["message"]


def test_an_interrupt_while_compiling_ends_the_call():
    found = interrupted(MODEL, "1000", delay=0.4)
    # Where programs are kept from an earlier session, the run may be further on.
    assert found.get("error") in ("KeyboardInterrupt", "SamplingError") or found.get("interrupted") in (0, 1)


STORM = """
import itertools, json, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import pyrox as px

rng, told = np.random.default_rng(int(sys.argv[1])), []
for turn in range(int(sys.argv[2])):
    with px.Model() as model:  # of a structure of its own: it is compiled anew
        x = px.Normal("x", 0.0, 1.0, shape=3 + turn)
        px.Normal("y", px.math.sin(x) * (turn + 1.0), 1.0, observed=np.zeros(3 + turn))
    delay = rng.uniform(0.0, 0.5 if turn < 2 else 4.0)
    before, began = threading.active_count(), time.monotonic()
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        idata = px.sample(2_000_000, tune=500, model=model, random_seed=1, progressbar=False,
                          compute_convergence_checks=False)
        drawn = idata["posterior"]["x"]
        outcome = "draws" if drawn.attrs.get("interrupted", idata["posterior"].attrs.get("interrupted")) else "whole"
        assert drawn.sizes["draw"] > 0 and np.isfinite(drawn.values).all()
    except BaseException as error:
        outcome = type(error).__name__
    late = time.monotonic() - began - delay
    deadline = time.monotonic() + 30.0
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)  # XLA, which cannot be told to stop, ends what it compiles
    told.append({"outcome": outcome, "late": late, "threads": threading.active_count() - before,
                 "open": px.Model.get_context(error_if_none=False) is not None})
with px.Model():
    px.Normal("y", px.Normal("mu", 0.0, 1.0), 1.0, observed=1.0)
    after = px.sample(500, tune=500, random_seed=1, progressbar=False, compute_convergence_checks=False)
print(json.dumps({"told": told, "mean": float(after["posterior"]["mu"].mean())}), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_interrupts_at_random_moments():
    """From tracing on, through compilation and warm-up, to the draws: none is lost, and each ends its call soon."""
    environment = {**os.environ, "PYROX_CACHE": "off"}
    out = subprocess.run(
        [sys.executable, "-c", STORM, "0", "6"], capture_output=True, text=True, timeout=300, env=environment
    )
    assert out.returncode == 0, out.stderr[-3000:]
    found = json.loads(out.stdout.splitlines()[-1])
    outcomes = [turn["outcome"] for turn in found["told"]]
    assert set(outcomes) <= {"draws", "KeyboardInterrupt", "SamplingError"}, outcomes
    assert "KeyboardInterrupt" in outcomes, "one came while XLA compiled"
    for turn in found["told"]:
        assert turn["late"] < 10.0, found
        assert turn["threads"] <= 0, found
        assert not turn["open"], found
    assert abs(found["mean"] - 0.5) < 0.3


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_the_command_line_example(tmp_path):
    pytest.importorskip("matplotlib")
    out = subprocess.run([sys.executable, "-m", "pyrox"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "tau" in out.stdout
    assert (tmp_path / "eight_schools.nc").stat().st_size > 10_000
    assert (tmp_path / "eight_schools_trace.png").stat().st_size > 10_000
    assert str(tmp_path) in out.stdout
