"""A first fit waits for what it runs to be compiled, and for little beside it."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import jax, numpy as np, pyrox as px

count = 0
def listen(name, seconds, **_):
    global count
    count += name == "/jax/core/compile/backend_compile_duration"
jax.monitoring.register_event_duration_secs_listener(listen)

with px.Model(coords={"school": range(8)}) as model:
    y = px.Data("y", np.arange(8.0), dims="school")
    theta = px.Normal("theta", px.Normal("mu", 0.0, 5.0), px.HalfNormal("tau", 5.0), dims="school")
    px.Normal("effect", theta, 1.0, observed=y, dims="school")
"""


def compilations(statement):
    """Count what XLA compiles for a statement, in a new process."""
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYROX_CACHE": "off", "PYTHONPATH": str(root)}
    program = f"{PROGRAM}\nprint('model', count)\n{statement}\nprint('all', count)"
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    counts = dict(line.split() for line in out.stdout.splitlines())
    assert counts["model"] == "0"
    return int(counts["all"])


def test_sampling():
    # Two functions of JAX's random numbers, the chain, its named values, and what the data alone give.
    assert compilations("px.sample(20, tune=20, chains=2, model=model, random_seed=1, quiet=True)") == 5


def test_prior_predictions():
    # The draws, and what the data alone give.
    assert compilations("px.sample_prior_predictive(50, model=model, random_seed=1)") == 2
